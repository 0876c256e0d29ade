-- What resolve_attachments.sql answers, and in the same moment a hold on those that can be used: a new
-- one, or the owner's. Only rows of the attachments asked for are touched, and of these only the ones
-- whose `held_until` is too early. The first row, at place 0, is about the hold alone.
--
-- None that `can_be_held` is held unless all are `agreed` on. `unsettled`: nothing was done, the
-- owner's hold needs settle_hold.sql first. $9 is the count that settle_hold.sql answered in this
-- transaction. Agreed and no hold: another call of this owner was faster to take one, and nothing has
-- changed.
--
-- LATERAL with LIMIT or OFFSET has each id looked up by index, whatever the planner knows of tables.
WITH current AS MATERIALIZED (
    SELECT * FROM holds
    WHERE tenant_id = $1 AND created_by = $6 AND owner = $5 AND owner <> '' AND release_time IS NULL
    FOR NO KEY UPDATE
), judged AS MATERIALIZED (
    -- The clock is read after the lock, as in extend_hold.sql.
    SELECT c.*, $9::bigint IS NOT NULL OR {hold_is_settled} AS is_settled FROM current AS c
), found AS MATERIALIZED (
    -- Each id with the holds on it that were renewed, and its session, locked. Locked one by one in
    -- the order of their ids, and after the hold, so that no two calls wait for each other.
    SELECT w.*, m.*, s.*
    FROM (
        SELECT k.*, (SELECT hold_id FROM judged) AS hold_id
        FROM unnest($2::uuid[], $10::bigint[])
            WITH ORDINALITY AS k (attachment_id, known_version, place)
        WHERE NOT EXISTS (SELECT FROM judged WHERE NOT is_settled)
        ORDER BY k.attachment_id
    ) AS w
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE a.hold_id = w.hold_id) > 0 AS is_member,
            max(CASE
                WHEN a.hold_id = w.hold_id THEN (SELECT expire_time FROM judged)
                ELSE (
                    SELECT least(h.expire_time, h.release_time) FROM holds AS h
                    WHERE h.tenant_id = $1 AND h.hold_id = a.hold_id
                )
            END) AS renewed_end_time
        FROM held_attachments AS a
        WHERE a.tenant_id = $1 AND a.attachment_id = w.attachment_id AND a.end_time IS NULL
    ) AS m
    LEFT JOIN LATERAL (
        SELECT true AS can_be_held, s.held_until, s.xmin::text::bigint AS version
        FROM upload_sessions AS s
        WHERE s.tenant_id = $1 AND s.attachment_id = w.attachment_id
            AND s.state = 'ready' AND s.delete_time IS NULL
            AND (
                greatest(s.object_purge_time, s.held_until) > now()
                -- A hold that only its own row tells of counts if no release came between.
                OR m.renewed_end_time > now() AND s.held_until = (
                    SELECT o.held_until FROM upload_sessions AS o
                    WHERE o.tenant_id = $1 AND o.attachment_id = w.attachment_id
                )
            )
        FOR NO KEY UPDATE
    ) AS s ON true
), sizes AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE NOT is_member)
        + coalesce($9::bigint, (SELECT attachment_count FROM judged), 0) AS attachments
    FROM found
), agreed AS MATERIALIZED (
    -- Counting takes every lock before the hold is changed.
    SELECT count(*) AS attachments FROM found WHERE can_be_held
    HAVING count(*) > 0 AND (NOT $3::boolean OR count(*) = cardinality($2::uuid[]))
        AND (SELECT attachments FROM sizes) <= $8::bigint
), taken AS (
    INSERT INTO holds (
        tenant_id, hold_id, owner, created_by, expire_time, attachment_count, counted_revision
    )
    SELECT $1::text, $4::uuid, $5, $6, now() + $7::interval, attachments, 1
    FROM agreed WHERE NOT EXISTS (SELECT FROM current)
    -- To change one that is there, it would have to be locked before the attachments.
    ON CONFLICT DO NOTHING
    RETURNING *
), added AS (
    INSERT INTO held_attachments (tenant_id, hold_id, attachment_id, end_time)
    SELECT $1::text, h.hold_id, f.attachment_id, h.end_time
    FROM (
        SELECT hold_id, expire_time AS end_time FROM taken
        UNION ALL
        SELECT hold_id, NULL FROM judged, agreed
    ) AS h, found AS f
    WHERE f.can_be_held AND NOT f.is_member
    ON CONFLICT DO NOTHING
    RETURNING 1
), renewed AS (
    UPDATE holds AS h
    SET expire_time = greatest(h.expire_time, now() + $7::interval),
        revision = h.revision + 1,
        counted_revision = h.revision + 1,
        attachment_count = coalesce($9::bigint, h.attachment_count) + a.count
    FROM judged AS c, agreed, (SELECT count(*) AS count FROM added) AS a
    WHERE h.tenant_id = $1 AND h.hold_id = c.hold_id
    RETURNING h.*
), hold AS MATERIALIZED (
    SELECT * FROM renewed UNION ALL SELECT * FROM taken
), early AS MATERIALIZED (
    -- An attachment that the hold is new to tells its end at once, so that whoever locks the row sees
    -- it. Later it is early by at most half of the hold's time: most renewals move no row.
    SELECT f.attachment_id
    FROM hold AS h, found AS f
    WHERE f.can_be_held AND (f.held_until IS NULL OR f.held_until < CASE
        WHEN f.is_member THEN h.expire_time - (h.expire_time - now()) / 2
        ELSE h.expire_time
    END)
), moved AS (
    -- No indexed column changes, so no index does where the page has room for the new version: see
    -- the fillfactor.
    UPDATE upload_sessions AS s
    SET held_until = greatest(s.held_until, h.expire_time),
        metadata_purge_time = greatest(s.metadata_purge_time, h.expire_time)
    FROM hold AS h
    WHERE s.tenant_id = $1 AND s.attachment_id = ANY (ARRAY(SELECT attachment_id FROM early))
)
SELECT *
FROM (
    SELECT 0 AS place,
        EXISTS (SELECT FROM judged WHERE NOT is_settled) AS unsettled,
        (SELECT attachments FROM sizes) AS wanted,
        EXISTS (SELECT FROM agreed) AS agreed,
{hold_columns}, h.attachment_count,
        now() AS call_time
    FROM (SELECT) AS one LEFT JOIN hold AS h ON true
) AS summary
FULL JOIN (
    SELECT f.place, coalesce(f.can_be_held, false) AS can_be_held, held.end_time AS hold_end_time,
        r.*
    FROM found AS f
    LEFT JOIN hold AS h ON f.can_be_held
    CROSS JOIN LATERAL (
        SELECT greatest(f.held_until, f.renewed_end_time, h.expire_time) AS end_time OFFSET 0
    ) AS held
    LEFT JOIN LATERAL (
        SELECT
{session_columns},
{row_version}
        FROM upload_sessions AS s
        WHERE s.tenant_id = $1 AND s.attachment_id = f.attachment_id
            AND f.can_be_held AND f.known_version IS DISTINCT FROM f.version
        OFFSET 0
    ) AS r ON true
    WHERE f.can_be_held
    UNION ALL
    SELECT f.place, false, r.held_until, r.*
    FROM found AS f
    CROSS JOIN LATERAL (
        SELECT
{session_columns},
{row_version}
        FROM upload_sessions AS s CROSS JOIN {hold_end} AS held
        WHERE s.tenant_id = $1 AND s.attachment_id = f.attachment_id AND {row_is_kept}
        OFFSET 0
    ) AS r
    WHERE f.can_be_held IS NULL
) AS resolved USING (place)
