-- PENDING and in time becomes FAILED, as complete_upload_session.sql makes it READY.
WITH pending AS (
    SELECT tenant_id, attachment_id
    FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = $2 AND state = 'pending' AND expire_time > now()
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
), changed AS (
    UPDATE upload_sessions AS s
    SET state = 'failed',
        failure_reason = $9,
        failure_facts = $10::jsonb,
        revision = s.revision + 1,
        update_time = now()
    FROM pending AS p
    WHERE s.tenant_id = p.tenant_id AND s.attachment_id = p.attachment_id
        AND s.tenant_id = $1 AND s.state = 'pending'
        AND ($5::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, $3, $5, jsonb_build_object('checks', $8::jsonb, 'reason', $9::text) FROM changed
)
SELECT
{session_columns}
FROM changed AS s
