-- What was reserved is pending no more, the verified bytes are stored. The shards are locked in their
-- order, as everywhere more than one is.
per_shard AS (
    SELECT usage_shard, count(*) AS sessions, sum(reserved_bytes)::bigint AS reserved,
        sum(size)::bigint AS size
    FROM changed WHERE booking = 'stored' GROUP BY usage_shard
), locked AS (
    SELECT shard FROM tenant_usage
    WHERE tenant_id = $1 AND shard IN (SELECT usage_shard FROM per_shard)
    ORDER BY shard
    FOR UPDATE
), settled AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions - p.sessions,
        pending_bytes = u.pending_bytes - p.reserved,
        stored_bytes = u.stored_bytes + p.size
    FROM per_shard AS p, (SELECT count(*) AS held FROM locked) AS locks
    WHERE u.tenant_id = $1 AND u.shard = p.usage_shard AND locks.held > 0
)
