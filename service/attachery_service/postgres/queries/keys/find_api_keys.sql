-- Valid keys, by the same condition as keys/find_api_key.sql.
SELECT key_id, name, secret_digest, tenants, scopes, {keys/end_time} AS expire_time
FROM api_keys
WHERE {keys/is_valid}
LIMIT :limit
