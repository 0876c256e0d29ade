-- A key that may be used.
SELECT name, secret_digest, tenants, scopes
FROM api_keys
WHERE key_id = $1 AND revoke_time IS NULL
