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
        tenant_id text, declared_size bigint, max_size bigint, wanted_expire_time timestamptz,
        ttl interval, min_ttl interval, max_ttl interval,
        max_pending_sessions bigint, max_pending_bytes bigint, max_stored_bytes bigint
    )
), seen AS MATERIALIZED (
    SELECT u.* FROM wanted JOIN tenant_usage AS u USING (tenant_id)
), promising AS MATERIALIZED (
    SELECT w.tenant_id
    FROM wanted AS w, (
        SELECT sum(pending_sessions) AS sessions, sum(pending_bytes) AS pending,
            sum(pending_bytes + stored_bytes) AS stored
        FROM seen
    ) AS used
    WHERE w.is_in_range
        AND coalesce(used.sessions + 1 <= w.max_pending_sessions, true)
        AND coalesce(used.pending + w.reserved_bytes <= w.max_pending_bytes, true)
        AND coalesce(used.stored + w.reserved_bytes <= w.max_stored_bytes, true)
), locked AS MATERIALIZED (
    SELECT u.* FROM promising JOIN tenant_usage AS u USING (tenant_id)
    ORDER BY u.shard
    FOR UPDATE OF u
), used AS MATERIALIZED (
    SELECT count(*) AS shards,
        coalesce(sum(pending_sessions), 0)::bigint AS sessions,
        coalesce(sum(pending_bytes), 0)::bigint AS pending,
        coalesce(sum(stored_bytes), 0)::bigint AS stored
    FROM (
        SELECT * FROM locked
        UNION ALL
        SELECT * FROM seen WHERE NOT EXISTS (SELECT FROM locked)
    ) AS counted
), room AS MATERIALIZED (
    -- NULL without a limit. Bytes are divided in pieces of the session's size (1 byte for an empty
    -- upload): 16 shards with less than one piece each would refuse a session that fits into the total.
    SELECT w.*, greatest(w.reserved_bytes, 1) AS piece, floor(random() * 16)::int AS first_shard,
        w.max_pending_sessions - used.sessions AS sessions,
        w.max_pending_bytes - used.pending AS pending,
        w.max_stored_bytes - used.pending - used.stored AS stored
    FROM wanted AS w, used
), fitting AS MATERIALIZED (
    SELECT * FROM room
    WHERE EXISTS (SELECT FROM locked) AND coalesce(sessions >= 1, true)
        AND coalesce(least(pending, stored) >= reserved_bytes, true)
), divided AS (
    -- A random shard gets the first session, the first piece of each kind and the incomplete pieces.
    UPDATE tenant_usage AS u
    SET sessions_share = coalesce(
            u.pending_sessions + room.sessions / 16 + (turn.number < room.sessions % 16)::int,
            9223372036854775807),
        pending_share = coalesce(
            u.pending_bytes + (turn.number = 0)::int * (room.pending % room.piece)
                + room.piece * (room.pending / room.piece / 16
                    + (turn.number < room.pending / room.piece % 16)::int),
            9223372036854775807),
        stored_share = coalesce(
            u.pending_bytes + u.stored_bytes
                + (turn.number = 0)::int * (room.stored % room.piece)
                + room.piece * (room.stored / room.piece / 16
                    + (turn.number < room.stored / room.piece % 16)::int),
            9223372036854775807),
        max_pending_sessions = room.max_pending_sessions,
        max_pending_bytes = room.max_pending_bytes,
        max_stored_bytes = room.max_stored_bytes
    FROM fitting AS room, generate_series(0, 15) AS n (shard), LATERAL (
        SELECT (n.shard - room.first_shard + 16) % 16 AS number
    ) AS turn
    WHERE u.tenant_id = room.tenant_id AND u.shard = n.shard
)
SELECT used.shards, used.sessions AS pending_sessions, used.pending AS pending_bytes,
    used.stored AS stored_bytes, w.is_in_range,
    EXISTS (SELECT FROM fitting) AS has_room,
    EXISTS (
        SELECT FROM upload_sessions AS d WHERE d.tenant_id = w.tenant_id AND {usage/is_due}
    ) AS is_due
FROM wanted AS w, used
