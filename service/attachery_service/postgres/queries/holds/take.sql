-- Resolves attachments as sessions/resolve.sql does, and takes a hold on the usable ones at the same time:
-- a new hold, or the owner's existing one. It changes an attachment's row only if its `held_until` is too
-- early. The first row, with place 0, describes the hold.
--
-- Nothing is held unless `agreed` has a row. `unsettled`: nothing was changed, run holds/settle.sql first.
-- :settled_count is the count that holds/settle.sql returned in this transaction. `agreed` without a hold: a
-- concurrent call of this owner created one first, and nothing was changed.
--
-- If :replaces, the attachments of the owner's hold that are not in :attachment_ids leave it. They are locked
-- before by holds/lock_attachments.sql, since only a statement that begins after all locks are taken sees all
-- other holds on them; :hold_id is then the id of the owner's hold.
--
-- LATERAL with LIMIT or OFFSET makes the planner look up each id by index, whatever the table sizes.
WITH current AS MATERIALIZED (
    SELECT * FROM holds
    WHERE tenant_id = :tenant_id AND created_by = :created_by
        AND owner = :owner AND owner <> '' AND release_time IS NULL
    FOR NO KEY UPDATE
), judged AS MATERIALIZED (
    -- The clock is read after the lock, as in holds/extend.sql.
    SELECT c.*,
        :settled_count::bigint IS NOT NULL OR {holds/is_settled}
            -- No attachment left the hold since this statement's snapshot.
            AND c.shrunk_revision <= (
                SELECT o.revision FROM holds AS o WHERE o.tenant_id = :tenant_id AND o.hold_id = c.hold_id
            )
            -- None leaves it in this statement.
            AND (NOT :replaces::boolean OR c.attachment_count = (
                SELECT count(*) FROM held_attachments AS a
                WHERE a.tenant_id = :tenant_id AND a.hold_id = c.hold_id
                    AND a.attachment_id = ANY (:attachment_ids::uuid[])
            )) AS is_settled
    FROM current AS c
), found AS MATERIALIZED (
    -- Each id with its locked session, and the end of the renewed holds on it. Sessions are locked in
    -- the order of their ids, and after the hold, which prevents deadlocks.
    SELECT w.*, m.*, s.*
    FROM (
        SELECT k.*, (SELECT hold_id FROM judged) AS hold_id
        FROM unnest(:attachment_ids::uuid[], :versions::bigint[])
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
                    WHERE h.tenant_id = :tenant_id AND h.hold_id = a.hold_id
                )
            END) AS renewed_end_time
        FROM held_attachments AS a
        WHERE a.tenant_id = :tenant_id AND a.attachment_id = w.attachment_id AND a.end_time IS NULL
    ) AS m
    LEFT JOIN LATERAL (
        SELECT true AS can_be_held, s.held_until, s.xmin::text::bigint AS version
        FROM upload_sessions AS s
        WHERE s.tenant_id = :tenant_id AND s.attachment_id = w.attachment_id
            AND s.state = 'ready' AND s.delete_time IS NULL
            AND (
                greatest(s.object_purge_time, s.held_until) > now()
                -- The end of a renewed hold counts, unless the hold was released since the snapshot.
                OR m.renewed_end_time > now() AND s.held_until = (
                    SELECT o.held_until FROM upload_sessions AS o
                    WHERE o.tenant_id = :tenant_id AND o.attachment_id = w.attachment_id
                )
            )
        FOR NO KEY UPDATE
    ) AS s ON true
), sizes AS MATERIALIZED (
    SELECT CASE WHEN :replaces::boolean THEN count(*) ELSE
        count(*) FILTER (WHERE NOT is_member)
        + coalesce(:settled_count::bigint, (SELECT attachment_count FROM judged), 0) END AS attachments
    FROM found
), agreed AS MATERIALIZED (
    -- The count forces all locks to be taken before the hold changes.
    SELECT count(*) AS attachments FROM found WHERE can_be_held
    HAVING count(*) > 0 AND (NOT :all_or_nothing::boolean OR count(*) = cardinality(:attachment_ids::uuid[]))
        AND (SELECT attachments FROM sizes) <= :max_attachments::bigint
), taken AS (
    INSERT INTO holds (
        tenant_id, hold_id, owner, created_by, expire_time, attachment_count, counted_revision
    )
    SELECT :tenant_id::text, :hold_id::uuid, :owner, :created_by, now() + :ttl::interval, attachments, 1
    FROM agreed WHERE NOT EXISTS (SELECT FROM current)
    -- An existing hold cannot be changed here: it must be locked before the attachments.
    ON CONFLICT DO NOTHING
    RETURNING *
), added AS (
    INSERT INTO held_attachments (tenant_id, hold_id, attachment_id, end_time)
    SELECT :tenant_id::text, h.hold_id, f.attachment_id, h.end_time
    FROM (
        SELECT hold_id, expire_time AS end_time FROM taken
        UNION ALL
        SELECT hold_id, NULL FROM judged, agreed
    ) AS h, found AS f
    WHERE f.can_be_held AND NOT f.is_member
    ON CONFLICT DO NOTHING
    RETURNING 1
), dropped AS (
    DELETE FROM held_attachments AS a
    USING judged AS c, agreed
    WHERE :replaces::boolean AND a.tenant_id = :tenant_id AND a.hold_id = c.hold_id
        AND a.attachment_id <> ALL (:attachment_ids::uuid[])
    RETURNING a.attachment_id
), freed AS (
    UPDATE upload_sessions AS s
    SET {holds/become_freed}
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = ANY (ARRAY(
        SELECT s.attachment_id
        FROM dropped AS d
        CROSS JOIN LATERAL (
            SELECT s.* FROM upload_sessions AS s
            WHERE s.tenant_id = :tenant_id AND s.attachment_id = d.attachment_id
            OFFSET 0
        ) AS s
        CROSS JOIN {holds/end} AS held
        CROSS JOIN {holds/others} AS others
        WHERE NOT {sessions/bytes_are_gone} AND {holds/freed_differs}
    ))
), renewed AS (
    UPDATE holds AS h
    SET expire_time = greatest(h.expire_time, now() + :ttl::interval),
        revision = h.revision + 1,
        counted_revision = h.revision + 1,
        shrunk_revision = CASE WHEN :settled_count::bigint IS NULL THEN h.shrunk_revision ELSE h.revision + 1 END,
        attachment_count = coalesce(:settled_count::bigint, h.attachment_count) + a.count - d.count
    FROM judged AS c, agreed, (SELECT count(*) AS count FROM added) AS a,
        (SELECT count(*) AS count FROM dropped) AS d
    WHERE h.tenant_id = :tenant_id AND h.hold_id = c.hold_id
    RETURNING h.*
), hold AS MATERIALIZED (
    SELECT * FROM renewed UNION ALL SELECT * FROM taken
), early AS MATERIALIZED (
    -- The attachments with a `held_until` that is too early. An attachment that is new in the hold gets
    -- the exact end. For the others `held_until` may be too early by half of the hold's remaining time,
    -- so most renewals change no attachment row.
    SELECT f.attachment_id
    FROM hold AS h, found AS f
    WHERE f.can_be_held AND (f.held_until IS NULL OR f.held_until < CASE
        WHEN f.is_member THEN h.expire_time - (h.expire_time - now()) / 2
        ELSE h.expire_time
    END)
), moved AS (
    -- No indexed column changes, so with room in the page (see the table's fillfactor) PostgreSQL
    -- updates no index.
    UPDATE upload_sessions AS s
    SET held_until = greatest(s.held_until, h.expire_time),
        metadata_purge_time = greatest(s.metadata_purge_time, h.expire_time)
    FROM hold AS h
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = ANY (ARRAY(SELECT attachment_id FROM early))
)
SELECT *
FROM (
    SELECT 0 AS place,
        EXISTS (SELECT FROM judged WHERE NOT is_settled) AS unsettled,
        (SELECT attachments FROM sizes) AS wanted,
        EXISTS (SELECT FROM agreed) AS agreed,
{holds/columns}, h.attachment_count,
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
{sessions/columns},
{sessions/row_version}
        FROM upload_sessions AS s
        WHERE s.tenant_id = :tenant_id AND s.attachment_id = f.attachment_id
            AND f.can_be_held AND f.known_version IS DISTINCT FROM f.version
        OFFSET 0
    ) AS r ON true
    WHERE f.can_be_held
    UNION ALL
    SELECT f.place, false, r.held_until, r.*
    FROM found AS f
    CROSS JOIN LATERAL (
        SELECT
{sessions/columns},
{sessions/row_version}
        FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
        WHERE s.tenant_id = :tenant_id AND s.attachment_id = f.attachment_id AND {sessions/row_is_kept}
        OFFSET 0
    ) AS r
    WHERE f.can_be_held IS NULL
) AS resolved USING (place)
