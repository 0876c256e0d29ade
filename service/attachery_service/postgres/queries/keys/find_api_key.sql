-- A valid key.
SELECT name, secret_digest, tenants, scopes, {keys/end_time} AS expire_time
FROM api_keys
WHERE key_id = :key_id AND {keys/is_valid}
