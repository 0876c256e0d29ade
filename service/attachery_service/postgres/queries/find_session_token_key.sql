-- The key of this id that may be used, or the newest of all; and what time it is.
SELECT key_id, secret, now() AS read_time
FROM session_token_keys
WHERE ($1::text IS NULL OR key_id = $1) AND (revoke_time IS NULL OR revoke_time > now())
ORDER BY create_time DESC, key_id
LIMIT 1
