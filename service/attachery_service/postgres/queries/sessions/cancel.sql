-- Cancels a PENDING session before its deadline. Returns no row if the session has another state or has
-- expired, if :subject is given and has not started it, or if the request id is already in use.
{sessions/claim_pending}, changed AS (
    UPDATE upload_sessions AS s
    SET state = 'cancelled',
        due_time = now(),
        revision = s.revision + 1,
        update_time = now()
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = :tenant_id AND s.state = 'pending'
        AND (:request_id::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, :actor, :request_id, '{}'::jsonb FROM changed
)
SELECT
{sessions/columns}
FROM changed AS s CROSS JOIN {holds/end} AS held
