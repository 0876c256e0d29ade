-- Creates a second key for the principal of a valid key, and revokes the first one after :overlap. The new key
-- expires when the first one does, or after :ttl if given.
WITH old AS (
    UPDATE api_keys
    SET revoke_time = least(revoke_time, now() + :overlap::interval)
    WHERE key_id = :key_id AND {keys/is_valid}
    RETURNING name, tenants, scopes, expire_time
)
INSERT INTO api_keys (key_id, name, secret_digest, tenants, scopes, expire_time)
SELECT :new_id, name, :secret_digest, tenants, scopes, coalesce(now() + :ttl::interval, expire_time)
FROM old
RETURNING key_id
