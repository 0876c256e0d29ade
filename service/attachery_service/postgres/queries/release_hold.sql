-- Ends a hold, unless it was released before. The other holds on its attachments, or their own times,
-- keep them. A consumed ($3) attachment of one of the purposes $4 becomes DELETED, unless another hold
-- on it lasts.
--
-- The hold and its attachments are locked by statements before this one: only so are all the other
-- holds seen here. An attachment that is gone stays with the hold, which tells when it went.
WITH released AS (
    UPDATE holds AS h
    SET release_time = now(), consumed = $3, revision = h.revision + 1,
        counted_revision = h.revision + 1, attachment_count = n.attachment_count
    FROM (
        SELECT h.hold_id, {attachment_count}
        FROM holds AS h
        WHERE h.tenant_id = $1 AND h.hold_id = $2
    ) AS n
    WHERE h.tenant_id = $1 AND h.hold_id = $2 AND h.release_time IS NULL
    RETURNING h.*
), claimed AS MATERIALIZED (
    SELECT s.attachment_id, s.booking AS booked,
        -- Locks the other holds as the sweep does: a renewal that began before their end may commit
        -- after this statement's snapshot.
        CASE
            WHEN $3::boolean AND s.purpose = ANY($4::text[])
                AND coalesce(others.end_time <= now(), true)
                THEN NOT EXISTS (
{lasting_holds}
                    AND a.hold_id <> $2
                )
            ELSE false
        END AS done_with,
        s.held_until IS DISTINCT FROM others.end_time
            OR s.due_time > greatest(s.object_purge_time, others.end_time) AS changes
    FROM released AS r
    JOIN held_attachments AS m ON m.tenant_id = $1 AND m.hold_id = r.hold_id
    -- OFFSET has each looked up by index, whatever the planner knows of the tables.
    CROSS JOIN LATERAL (
        SELECT s.* FROM upload_sessions AS s
        WHERE s.tenant_id = $1 AND s.attachment_id = m.attachment_id
        OFFSET 0
    ) AS s
    CROSS JOIN {hold_end} AS held
    CROSS JOIN {other_holds} AS others
    WHERE s.state = 'ready' AND NOT {bytes_are_gone}
), kept AS (
    UPDATE upload_sessions AS s
    SET (held_until, metadata_purge_time, due_time) = (
        SELECT others.end_time, greatest(s.metadata_purge_time, others.end_time),
            least(s.due_time, greatest(s.object_purge_time, others.end_time))
        FROM {other_holds} AS others
    )
    WHERE s.tenant_id = $1 AND s.attachment_id = ANY (
        ARRAY(SELECT attachment_id FROM claimed WHERE changes AND NOT done_with)
    )
), changed AS (
    UPDATE upload_sessions AS s
    SET {become_deleted}
    FROM claimed AS c
    WHERE s.tenant_id = $1 AND s.attachment_id = c.attachment_id AND c.done_with
        AND s.attachment_id = ANY (ARRAY(SELECT attachment_id FROM claimed WHERE done_with))
    RETURNING s.*, c.booked
), dropped AS (
    DELETE FROM held_attachments
    WHERE tenant_id = $1 AND hold_id = $2
        AND attachment_id = ANY (ARRAY(SELECT attachment_id FROM claimed))
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, facts)
    SELECT tenant_id, attachment_id, revision, 'deleted', $5,
        jsonb_build_object('cause', 'consumed', 'hold_id', $2::uuid)
    FROM changed
), {give_back}
SELECT
{hold_columns},
    {attachment_count},
    now() AS read_time
FROM (
    SELECT * FROM released
    UNION ALL
    SELECT * FROM holds
    WHERE tenant_id = $1 AND hold_id = $2 AND NOT EXISTS (SELECT FROM released)
) AS h
