-- Ends a key now. One that has ended before keeps its time.
UPDATE api_keys
SET revoke_time = least(revoke_time, now())
WHERE key_id = :key_id
RETURNING key_id
