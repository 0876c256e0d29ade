-- Ends a hold, unless it was released before. The other holds on its attachments, or their own times,
-- keep them. A :consumed attachment of one of the :purposes becomes DELETED, unless another hold
-- on it lasts.
--
-- The hold and its attachments are locked by statements before this one: only so are all the other
-- holds seen here. An attachment that is gone stays with the hold, which shows when it was deleted.
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
        -- Locks the other holds as the sweep does: a renewal that began before their end may commit
        -- after this statement's snapshot.
        CASE
            WHEN :consumed::boolean AND s.purpose = ANY(:purposes::text[])
                AND coalesce(others.end_time <= now(), true)
                THEN NOT EXISTS (
{holds/lasting}
                    AND a.hold_id <> :hold_id
                )
            ELSE false
        END AS done_with,
        s.held_until IS DISTINCT FROM others.end_time
            OR s.due_time > greatest(s.object_purge_time, others.end_time) AS changes
    FROM released AS r
    JOIN held_attachments AS m ON m.tenant_id = :tenant_id AND m.hold_id = r.hold_id
    -- OFFSET makes the planner look each up by index, at any size of the tables.
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
    SET (held_until, metadata_purge_time, due_time) = (
        SELECT others.end_time, greatest(s.metadata_purge_time, others.end_time),
            least(s.due_time, greatest(s.object_purge_time, others.end_time))
        FROM {holds/others} AS others
    )
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
), {usage/give_back}
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
