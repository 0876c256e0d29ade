-- Valid keys, by the same condition as keys/find_api_key.sql.
SELECT key_id, name, secret_digest, tenants, scopes, expire_time
FROM api_keys
WHERE {keys/is_valid}
LIMIT :limit
