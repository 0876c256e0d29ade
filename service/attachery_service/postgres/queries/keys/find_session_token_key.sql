-- The valid key with :key_id, or the newest valid one without it, and the time of the read.
SELECT key_id, secret, now() AS read_time
FROM session_token_keys
WHERE (:key_id::text IS NULL OR key_id = :key_id) AND (revoke_time IS NULL OR revoke_time > now())
ORDER BY create_time DESC, key_id
LIMIT 1
