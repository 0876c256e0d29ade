-- A key that may be used: not revoked, or only from a later time on.
SELECT name, secret_digest, tenants, scopes
FROM api_keys
WHERE key_id = :key_id AND (revoke_time IS NULL OR revoke_time > now())
