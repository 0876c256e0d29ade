-- Ends a key now. One that has ended before keeps its time.
UPDATE api_keys
SET revoke_time = least(revoke_time, now())
WHERE key_id = $1
RETURNING key_id
