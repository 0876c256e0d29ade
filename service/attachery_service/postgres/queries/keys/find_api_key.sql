-- A valid key: not revoked, or with a revocation time in the future.
SELECT name, secret_digest, tenants, scopes
FROM api_keys
WHERE key_id = :key_id AND (revoke_time IS NULL OR revoke_time > now())
