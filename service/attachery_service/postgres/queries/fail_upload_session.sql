-- PENDING and in time becomes FAILED, as complete_upload_session.sql makes it READY.
{claim_pending}, changed AS (
    UPDATE upload_sessions AS s
    SET state = 'failed',
        failure_reason = $9,
        failure_facts = $10::jsonb,
        due_time = now(),
        revision = s.revision + 1,
        update_time = now()
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
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
FROM changed AS s CROSS JOIN {hold_end} AS held
