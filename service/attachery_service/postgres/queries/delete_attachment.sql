-- READY becomes DELETED, as complete_upload_session.sql makes it READY. No row: not READY, deleted
-- before, held and not $9 (force), or the request id is taken.
WITH found AS MATERIALIZED (
    SELECT *
    FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = $2 AND state = 'ready' AND delete_time IS NULL
        AND ($9::boolean OR held_until IS NULL OR held_until <= now())
    FOR UPDATE
), claimed AS MATERIALIZED (
    SELECT s.tenant_id, s.attachment_id, s.booking AS booked
    FROM found AS s CROSS JOIN {hold_end} AS held
    WHERE {row_is_kept} AND ($9::boolean OR {no_hold_lasts})
), {take_request}, changed AS (
    UPDATE upload_sessions AS s
    SET {become_deleted}
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = $1 AND s.delete_time IS NULL
        AND ($5::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*, c.booked
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, 'deleted', $3, $5,
        jsonb_build_object('cause', 'request', 'force', $9::boolean)
    FROM changed
), {give_back}
SELECT
{session_columns}
FROM changed AS s CROSS JOIN {hold_end} AS held
