-- Revokes a key now. A key that was revoked before keeps its revocation time.
UPDATE api_keys
SET revoke_time = least(revoke_time, now())
WHERE key_id = :key_id
RETURNING key_id
