-- A hold ends, if it was not released before. What it held is kept by the other holds on it, or by
-- its own clock. What was consumed ($3) and may go with it ($4, purposes) becomes DELETED.
--
-- The hold and what it holds are locked by statements before this one: only so are all the other
-- holds seen here.
WITH released AS (
    UPDATE holds
    SET release_time = now(), consumed = $3, revision = revision + 1
    WHERE tenant_id = $1 AND hold_id = $2 AND release_time IS NULL
    RETURNING *
), claimed AS MATERIALIZED (
    SELECT s.attachment_id, s.booking AS booked, others.held_until,
        $3::boolean AND others.held_until IS NULL AND s.purpose = ANY($4::text[]) AS done_with
    FROM released AS r
    JOIN held_attachments AS m ON m.tenant_id = $1 AND m.hold_id = r.hold_id
    JOIN upload_sessions AS s ON s.tenant_id = $1 AND s.attachment_id = m.attachment_id
    CROSS JOIN LATERAL (
        SELECT max(h.expire_time) AS held_until
        FROM held_attachments AS o JOIN holds AS h ON h.tenant_id = $1 AND h.hold_id = o.hold_id
        WHERE o.tenant_id = $1 AND o.attachment_id = m.attachment_id AND h.hold_id <> $2
            AND h.release_time IS NULL AND h.expire_time > now()
    ) AS others
    WHERE s.state = 'ready' AND NOT {bytes_are_gone}
), kept AS (
    UPDATE upload_sessions AS s
    SET held_until = c.held_until,
        due_time = least(s.due_time, greatest(s.object_purge_time, c.held_until))
    FROM claimed AS c
    WHERE s.tenant_id = $1 AND s.attachment_id = c.attachment_id AND NOT c.done_with
), changed AS (
    UPDATE upload_sessions AS s
    SET {become_deleted}
    FROM claimed AS c
    WHERE s.tenant_id = $1 AND s.attachment_id = c.attachment_id AND c.done_with
    RETURNING s.*, c.booked
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, facts)
    SELECT tenant_id, attachment_id, revision, 'deleted', $5,
        jsonb_build_object('cause', 'consumed', 'hold_id', $2::uuid)
    FROM changed
), {give_back}
SELECT
{hold_columns},
    (SELECT count(*) FROM held_attachments WHERE tenant_id = $1 AND hold_id = $2)
        AS attachment_count,
    now() AS read_time
FROM (
    SELECT * FROM released
    UNION ALL
    SELECT * FROM holds
    WHERE tenant_id = $1 AND hold_id = $2 AND NOT EXISTS (SELECT FROM released)
) AS h
