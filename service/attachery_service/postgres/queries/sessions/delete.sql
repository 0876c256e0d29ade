-- Deletes the attachment of a READY session. Returns no row if it is not READY or already deleted, if it
-- is held and :force is false, or if the request id is already in use.
WITH found AS MATERIALIZED (
    SELECT *
    FROM upload_sessions
    WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id AND state = 'ready' AND delete_time IS NULL
        AND (:force::boolean OR held_until IS NULL OR held_until <= now())
    FOR UPDATE
), claimed AS MATERIALIZED (
    SELECT s.tenant_id, s.attachment_id, s.booking AS booked
    FROM found AS s CROSS JOIN {holds/end} AS held
    WHERE {sessions/row_is_kept} AND (:force::boolean OR {holds/none_lasts})
), {sessions/take_request}, changed AS (
    UPDATE upload_sessions AS s
    SET {sessions/become_deleted}
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = :tenant_id AND s.delete_time IS NULL
        AND (:request_id::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*, c.booked
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, 'deleted', :actor, :request_id,
        jsonb_build_object('cause', 'request', 'force', :force::boolean)
    FROM changed
), {usage/rebook}
SELECT
{sessions/columns}
FROM changed AS s CROSS JOIN {holds/end} AS held
