-- Converts the reservations of the sessions made READY to stored bytes. Shards are locked in order, as in
-- every statement that locks several.
per_shard AS (
    SELECT tenant_id, usage_shard, count(*) AS sessions, sum(reserved_bytes)::bigint AS reserved,
        sum(size)::bigint AS size
    FROM changed WHERE outcome = 'ready' AND booking = 'stored' GROUP BY tenant_id, usage_shard
), locked AS (
    SELECT u.shard
    FROM per_shard AS p
    JOIN tenant_usage AS u ON u.tenant_id = p.tenant_id AND u.shard = p.usage_shard
    ORDER BY u.tenant_id, u.shard
    FOR UPDATE OF u
), settled AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions - p.sessions,
        pending_bytes = u.pending_bytes - p.reserved,
        stored_bytes = u.stored_bytes + p.size
    FROM per_shard AS p, (SELECT count(*) AS held FROM locked) AS locks
    WHERE u.tenant_id = p.tenant_id AND u.shard = p.usage_shard AND locks.held > 0
)
