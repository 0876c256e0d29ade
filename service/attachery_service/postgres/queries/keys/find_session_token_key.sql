-- The usable key with this id, or the newest usable one, with the time of the read.
SELECT key_id, secret, now() AS read_time
FROM session_token_keys
WHERE (:key_id::text IS NULL OR key_id = :key_id) AND (revoke_time IS NULL OR revoke_time > now())
ORDER BY create_time DESC, key_id
LIMIT 1
