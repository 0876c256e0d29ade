-- Valid keys, by the same condition as keys/find_api_key.sql.
SELECT key_id, name, secret_digest, tenants, scopes
FROM api_keys
WHERE revoke_time IS NULL OR revoke_time > now()
LIMIT :limit
