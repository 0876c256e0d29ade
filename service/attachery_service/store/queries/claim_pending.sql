-- The lock makes a loser of a race see what the winner left before it takes its request id.
WITH pending AS (
    SELECT tenant_id, attachment_id
    FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = $2 AND state = 'pending' AND expire_time > now()
        -- Released: its time is over by a clock that was read after this statement's.
        AND booking IS DISTINCT FROM 'released'
    FOR UPDATE
), request AS (
    INSERT INTO request_outcomes AS o
        (tenant_id, method, request_id, payload_digest, attachment_id, checks)
    SELECT tenant_id, $4::text, $5::text, $6::bytea, attachment_id, $8::jsonb
    FROM pending WHERE $5::text IS NOT NULL
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = excluded.checks,
            create_time = now()
        WHERE o.create_time <= now() - $7::interval
    RETURNING 1
)
