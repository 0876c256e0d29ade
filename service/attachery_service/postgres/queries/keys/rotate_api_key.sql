-- Creates a second key for the principal of a valid key, and revokes the first one after :overlap.
WITH old AS (
    UPDATE api_keys
    SET revoke_time = least(revoke_time, now() + :overlap::interval)
    WHERE key_id = :key_id AND (revoke_time IS NULL OR revoke_time > now())
    RETURNING name, tenants, scopes
)
INSERT INTO api_keys (key_id, name, secret_digest, tenants, scopes)
SELECT :new_id, name, :secret_digest, tenants, scopes FROM old
RETURNING key_id
