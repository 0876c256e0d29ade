-- As start_upload_session.sql, when no shard is seen to have room: counts what the tenant uses, and
-- if the session fits, deals the room that is left among all shards anew. Always one row: what is
-- used, and the session if it was stored.
--
-- Only if there seems to be room does it lock anything: a tenant at its limit that goes on asking
-- does not hold up its own Completes. Under the locks it counts again, and that count decides.
WITH {clock}, seen AS MATERIALIZED (
    SELECT u.* FROM tenant_usage AS u WHERE u.tenant_id = $1
), promising AS MATERIALIZED (
    SELECT asked
    FROM seen, (SELECT coalesce($10::bigint, $11::bigint) AS asked) AS session
    GROUP BY asked
    HAVING coalesce(sum(pending_sessions) + 1 <= $27::bigint, true)
        AND coalesce(sum(pending_bytes) + asked <= $28::bigint, true)
        AND coalesce(sum(pending_bytes + stored_bytes) + asked <= $29::bigint, true)
), locked AS MATERIALIZED (
    SELECT u.* FROM promising JOIN tenant_usage AS u ON u.tenant_id = $1
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
    -- What is left after this session, NULL for no end of it.
    SELECT $27::bigint - sessions - 1 AS sessions,
        $28::bigint - pending - asked AS pending,
        $29::bigint - pending - stored - asked AS stored,
        asked,
        greatest(asked, 1) AS piece
    FROM used, (SELECT coalesce($10::bigint, $11::bigint) AS asked) AS session
), place AS MATERIALIZED (
    SELECT floor(random() * 16)::smallint AS shard, deadline
    FROM clock, room
    WHERE EXISTS (SELECT FROM locked)
        AND coalesce(least(room.sessions, room.pending, room.stored), 0) >= 0
), {insert_session}, dealt AS (
    -- Bytes are dealt in pieces of the size asked for (1 byte for an empty upload), so that what is
    -- left can be used: 16 shards with a little room each would refuse what fits in all of them. The
    -- first piece of each kind goes to the same shard, and so on.
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions + turn.booked,
        pending_bytes = u.pending_bytes + turn.booked * room.asked,
        sessions_share = coalesce(
            u.pending_sessions + turn.booked
                + room.sessions / 16 + (turn.number < room.sessions % 16)::int,
            9223372036854775807),
        pending_share = coalesce(
            u.pending_bytes + turn.booked * (room.asked + room.pending % room.piece)
                + room.piece * (room.pending / room.piece / 16
                    + (turn.number < room.pending / room.piece % 16)::int),
            9223372036854775807),
        stored_share = coalesce(
            u.pending_bytes + u.stored_bytes
                + turn.booked * (room.asked + room.stored % room.piece)
                + room.piece * (room.stored / room.piece / 16
                    + (turn.number < room.stored / room.piece % 16)::int),
            9223372036854775807),
        max_pending_sessions = $27::bigint,
        max_pending_bytes = $28::bigint,
        max_stored_bytes = $29::bigint
    FROM started AS s, room, generate_series(0, 15) AS n (shard), LATERAL (
        SELECT (n.shard - s.usage_shard + 16) % 16 AS number,
            (n.shard = s.usage_shard)::int AS booked
    ) AS turn
    WHERE u.tenant_id = $1 AND u.shard = n.shard
)
SELECT
{session_columns},
    used.shards, used.sessions AS pending_sessions, used.pending AS pending_bytes,
    used.stored AS stored_bytes,
    EXISTS (SELECT FROM clock) AS in_range,
    EXISTS (SELECT FROM upload_sessions AS d WHERE d.tenant_id = $1 AND {is_due}) AS is_due
FROM used LEFT JOIN started AS s ON true CROSS JOIN {hold_end} AS held
