-- Subtracts the former bookings (`booked`) of the changed sessions from the counters. Shards are locked in
-- order, as in every statement that locks several.
per_shard AS (
    SELECT tenant_id, usage_shard,
        count(*) FILTER (WHERE booked = 'pending') AS sessions,
        coalesce(sum(reserved_bytes) FILTER (WHERE booked = 'pending'), 0)::bigint AS reserved,
        coalesce(sum(size) FILTER (WHERE booked = 'stored'), 0)::bigint AS stored
    FROM changed WHERE booked IN ('pending', 'stored') GROUP BY tenant_id, usage_shard
), locked AS (
    SELECT u.shard
    FROM per_shard AS p
    JOIN tenant_usage AS u ON u.tenant_id = p.tenant_id AND u.shard = p.usage_shard
    ORDER BY u.tenant_id, u.shard
    FOR UPDATE OF u
), given_back AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions - p.sessions,
        pending_bytes = u.pending_bytes - p.reserved,
        stored_bytes = u.stored_bytes - p.stored
    FROM per_shard AS p, (SELECT count(*) AS held FROM locked) AS locks
    WHERE u.tenant_id = p.tenant_id AND u.shard = p.usage_shard AND locks.held > 0
)
