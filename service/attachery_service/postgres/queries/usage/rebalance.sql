-- Computes the usage of a session's tenant and, if the session fits, divides the remaining quota among all
-- shards of its counters. Always returns one row. sessions/start.sql books the session afterwards.
--
-- Shards are locked only if an unlocked count shows room, so that a tenant at its limit that keeps starting
-- sessions does not delay its own Completes. The usage is counted again under the locks, and that count
-- decides.
WITH wanted AS MATERIALIZED (
    SELECT w.*, coalesce(w.declared_size, w.max_size) AS reserved_bytes,
        {sessions/is_in_range} AS is_in_range
    FROM json_to_record(:session) AS w (
        tenant_id text, purpose text, declared_size bigint, max_size bigint,
        wanted_expire_time timestamptz, ttl interval, min_ttl interval, max_ttl interval,
        max_pending_sessions bigint, max_pending_bytes bigint, max_stored_bytes bigint,
        max_attachments bigint, max_of_purpose bigint
    )
), seen AS MATERIALIZED (
    SELECT u.* FROM wanted JOIN tenant_usage AS u USING (tenant_id)
), seen_of_purpose AS MATERIALIZED (
    SELECT v.* FROM wanted JOIN purpose_usage AS v USING (tenant_id, purpose)
), promising AS MATERIALIZED (
    SELECT room.tenant_id
    FROM (
        SELECT {usage/room}
        FROM wanted AS w, (SELECT {usage/totals} FROM seen AS u) AS used,
            (SELECT {usage/of_purpose} FROM seen_of_purpose AS v) AS of_purpose
    ) AS room
    WHERE {usage/fits}
), locked AS MATERIALIZED (
    SELECT u.* FROM promising JOIN tenant_usage AS u USING (tenant_id)
    ORDER BY u.shard
    FOR UPDATE OF u
), locked_of_purpose AS MATERIALIZED (
    -- After the tenant's shards: the count takes all their locks first.
    SELECT v.*
    FROM wanted JOIN purpose_usage AS v USING (tenant_id, purpose),
        (SELECT count(*) AS held FROM locked) AS locks
    WHERE locks.held > 0
    FOR UPDATE OF v
), used AS MATERIALIZED (
    SELECT count(*) AS shards, {usage/totals}
    FROM (
        SELECT * FROM locked
        UNION ALL
        SELECT * FROM seen WHERE NOT EXISTS (SELECT FROM locked)
    ) AS u
), of_purpose AS MATERIALIZED (
    SELECT {usage/of_purpose}
    FROM (
        SELECT * FROM locked_of_purpose
        UNION ALL
        SELECT * FROM seen_of_purpose WHERE NOT EXISTS (SELECT FROM locked)
    ) AS v
), fitting AS MATERIALIZED (
    SELECT room.*, floor(random() * 16)::int AS first_shard
    FROM (SELECT {usage/room} FROM wanted AS w, used, of_purpose) AS room
    WHERE EXISTS (SELECT FROM locked) AND {usage/fits}
), portions AS MATERIALIZED (
    -- A random shard gets the first session and the first piece of each kind.
    SELECT room.*, n.shard,
        (SELECT {usage/portion} FROM (VALUES (room.sessions, 1)) AS q (room, piece)) AS sessions_portion,
        (SELECT {usage/portion} FROM (VALUES (room.pending, room.piece)) AS q (room, piece)) AS pending_portion,
        (SELECT {usage/portion} FROM (VALUES (room.stored, room.piece)) AS q (room, piece)) AS stored_portion,
        (SELECT {usage/portion} FROM (VALUES (room.attachments, 1)) AS q (room, piece)) AS attachments_portion,
        (SELECT {usage/portion} FROM (VALUES (room.of_purpose, 1)) AS q (room, piece)) AS purpose_portion
    FROM fitting AS room, generate_series(0, 15) AS n (shard), LATERAL (
        SELECT (n.shard - room.first_shard + 16) % 16 AS number
    ) AS turn
), divided AS (
    UPDATE tenant_usage AS u
    SET sessions_share = coalesce(u.pending_sessions + p.sessions_portion, 9223372036854775807),
        pending_share = coalesce(u.pending_bytes + p.pending_portion, 9223372036854775807),
        stored_share = coalesce(
            u.pending_bytes + u.stored_bytes + p.stored_portion, 9223372036854775807),
        attachments_share = coalesce(u.attachments + p.attachments_portion, 9223372036854775807),
        max_pending_sessions = p.max_pending_sessions,
        max_pending_bytes = p.max_pending_bytes,
        max_stored_bytes = p.max_stored_bytes,
        max_attachments = p.max_attachments,
        purpose_limits = (u.purpose_limits - p.purpose)
            || jsonb_strip_nulls(jsonb_build_object(p.purpose, p.max_of_purpose))
    FROM portions AS p
    WHERE u.tenant_id = p.tenant_id AND u.shard = p.shard
), divided_by_purpose AS (
    UPDATE purpose_usage AS v
    SET attachments_share = v.attachments + p.purpose_portion
    FROM portions AS p
    WHERE v.tenant_id = p.tenant_id AND v.purpose = p.purpose AND v.shard = p.shard
        AND p.max_of_purpose IS NOT NULL
)
SELECT used.shards, used.pending_sessions, used.pending_bytes, used.stored_bytes, used.attachments,
    jsonb_build_object(w.purpose, of_purpose.attachments) AS by_purpose,
    w.max_of_purpose IS NOT NULL AND of_purpose.shards < 16 AS lacks_purpose, w.is_in_range,
    EXISTS (SELECT FROM fitting) AS has_room,
    EXISTS (
        SELECT FROM upload_sessions AS d WHERE d.tenant_id = w.tenant_id AND {usage/is_due}
    ) AS is_due
FROM wanted AS w, used, of_purpose
