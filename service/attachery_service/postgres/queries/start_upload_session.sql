-- Stores a PENDING session with its history and its request id, and books it where there is room.
-- No row: the request id is taken, the deadline asked for is out of range, or no shard is seen to
-- have room, of which start_after_dealing.sql makes sure.
--
-- At most one lock is held while another is waited for, and no order is needed: `free` takes what
-- nobody holds, and only if everything is held does `waited` queue, for one shard of many. What they
-- choose from is joined: a subquery in WHERE would be run again, and choose again, for a row that
-- changed while it was waited for.
WITH {clock}, roomy AS MATERIALIZED (
    SELECT u.shard FROM tenant_usage AS u
    WHERE u.tenant_id = $1 AND {has_room}
), free AS MATERIALIZED (
    SELECT u.* FROM roomy JOIN tenant_usage AS u ON u.tenant_id = $1 AND u.shard = roomy.shard
    ORDER BY random()
    LIMIT 1
    FOR UPDATE OF u SKIP LOCKED
), chosen AS MATERIALIZED (
    SELECT shard FROM roomy WHERE NOT EXISTS (SELECT FROM free) ORDER BY random() LIMIT 1
), waited AS MATERIALIZED (
    SELECT u.* FROM chosen JOIN tenant_usage AS u ON u.tenant_id = $1 AND u.shard = chosen.shard
    FOR UPDATE OF u
), place AS MATERIALIZED (
    -- Seen again now that it is locked: others have booked since.
    SELECT u.shard, clock.deadline
    FROM (SELECT * FROM free UNION ALL SELECT * FROM waited) AS u
    CROSS JOIN clock
    WHERE {has_room}
), {insert_session}, booked AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions + 1,
        pending_bytes = u.pending_bytes + s.reserved_bytes
    FROM started AS s
    WHERE u.tenant_id = $1 AND u.shard = s.usage_shard
)
SELECT
{session_columns}
FROM started AS s CROSS JOIN {hold_end} AS held
