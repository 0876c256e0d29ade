-- Releases a hold, unless it was released before. Its attachments are kept until their other holds and
-- their retention end. If the hold was :consumed, its attachments of one of the :purposes are deleted now,
-- unless another hold on them lasts.
--
-- Earlier statements of this transaction lock the hold and its attachments, so that this statement's
-- snapshot includes all other holds. Attachments without bytes keep their rows in `held_attachments`, from
-- which reads compute the time of the deletion.
WITH released AS (
    UPDATE holds AS h
    SET release_time = now(), consumed = :consumed, revision = h.revision + 1,
        counted_revision = h.revision + 1, attachment_count = n.attachment_count
    FROM (
        SELECT h.hold_id, {holds/attachment_count}
        FROM holds AS h
        WHERE h.tenant_id = :tenant_id AND h.hold_id = :hold_id
    ) AS n
    WHERE h.tenant_id = :tenant_id AND h.hold_id = :hold_id AND h.release_time IS NULL
    RETURNING h.*
), claimed AS MATERIALIZED (
    SELECT s.attachment_id, s.booking AS booked,
        -- Locks the other holds, as the sweep does: a renewal that began before they expired may
        -- commit after this statement's snapshot.
        CASE
            WHEN :consumed::boolean AND s.purpose = ANY(:purposes::text[])
                AND coalesce(others.end_time <= now(), true)
                THEN NOT EXISTS (
{holds/lasting}
                    AND a.hold_id <> :hold_id
                )
            ELSE false
        END AS done_with,
        {holds/freed_differs} AS changes
    FROM released AS r
    JOIN held_attachments AS m ON m.tenant_id = :tenant_id AND m.hold_id = r.hold_id
    -- OFFSET 0 makes the planner look up each session by index, whatever the table sizes.
    CROSS JOIN LATERAL (
        SELECT s.* FROM upload_sessions AS s
        WHERE s.tenant_id = :tenant_id AND s.attachment_id = m.attachment_id
        OFFSET 0
    ) AS s
    CROSS JOIN {holds/end} AS held
    CROSS JOIN {holds/others} AS others
    WHERE s.state = 'ready' AND NOT {sessions/bytes_are_gone}
), kept AS (
    UPDATE upload_sessions AS s
    SET {holds/become_freed}
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = ANY (
        ARRAY(SELECT attachment_id FROM claimed WHERE changes AND NOT done_with)
    )
), changed AS (
    UPDATE upload_sessions AS s
    SET {sessions/become_deleted}
    FROM claimed AS c
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = c.attachment_id AND c.done_with
        AND s.attachment_id = ANY (ARRAY(SELECT attachment_id FROM claimed WHERE done_with))
    RETURNING s.*, c.booked
), dropped AS (
    DELETE FROM held_attachments
    WHERE tenant_id = :tenant_id AND hold_id = :hold_id
        AND attachment_id = ANY (ARRAY(SELECT attachment_id FROM claimed))
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, facts)
    SELECT tenant_id, attachment_id, revision, 'deleted', :actor,
        jsonb_build_object('cause', 'consumed', 'hold_id', :hold_id::uuid)
    FROM changed
), {usage/rebook}
SELECT
{holds/columns},
    {holds/attachment_count},
    now() AS read_time
FROM (
    SELECT * FROM released
    UNION ALL
    SELECT * FROM holds
    WHERE tenant_id = :tenant_id AND hold_id = :hold_id AND NOT EXISTS (SELECT FROM released)
) AS h
