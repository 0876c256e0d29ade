-- Gives the principal of a key that may be used a second one, and the first an end.
WITH old AS (
    UPDATE api_keys
    SET revoke_time = least(revoke_time, now() + $4::interval)
    WHERE key_id = $1 AND (revoke_time IS NULL OR revoke_time > now())
    RETURNING name, tenants, scopes
)
INSERT INTO api_keys (key_id, name, secret_digest, tenants, scopes)
SELECT $2, name, $3, tenants, scopes FROM old
RETURNING key_id
