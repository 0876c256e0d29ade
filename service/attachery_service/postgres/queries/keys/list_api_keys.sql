-- All keys, oldest first, without anything derived from their secrets.
SELECT key_id, name, tenants, scopes, create_time, expire_time, revoke_time
FROM api_keys
ORDER BY create_time, key_id
