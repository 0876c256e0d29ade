-- The newest valid signing key, and the time of issue of a new token: after each revocation of its subject,
-- even if the clock shows the same time.
SELECT k.key_id, k.secret, greatest(now(), r.revoke_time + interval '1 microsecond') AS read_time
FROM (
    SELECT key_id, secret
    FROM session_token_keys
    WHERE revoke_time IS NULL OR revoke_time > now()
    ORDER BY create_time DESC, key_id
    LIMIT 1
) AS k
LEFT JOIN connection_revocations AS r ON r.tenant_id = :tenant_id AND r.subject = :subject
