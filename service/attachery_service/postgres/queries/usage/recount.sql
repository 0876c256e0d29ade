-- Corrects a tenant's counters by their difference from its sessions. A concurrent booking changes both
-- sides by the same amount, so the difference is computed before the shards are locked, and they are
-- locked only briefly.
WITH booked AS MATERIALIZED (
{usage/booked}
), lacking AS MATERIALIZED (
    SELECT
        u.shard,
        coalesce(b.pending_sessions, 0) - u.pending_sessions AS pending_sessions,
        coalesce(b.pending_bytes, 0) - u.pending_bytes AS pending_bytes,
        coalesce(b.stored_bytes, 0) - u.stored_bytes AS stored_bytes
    FROM tenant_usage AS u LEFT JOIN booked AS b USING (shard)
    WHERE u.tenant_id = :tenant_id
), locked AS (
    SELECT u.shard
    FROM lacking AS l JOIN tenant_usage AS u ON u.tenant_id = :tenant_id AND u.shard = l.shard
    ORDER BY u.shard
    FOR UPDATE OF u
)
UPDATE tenant_usage AS u
SET pending_sessions = u.pending_sessions + l.pending_sessions,
    pending_bytes = u.pending_bytes + l.pending_bytes,
    stored_bytes = u.stored_bytes + l.stored_bytes
FROM lacking AS l, (SELECT count(*) AS held FROM locked) AS locks
WHERE u.tenant_id = :tenant_id AND u.shard = l.shard AND locks.held > 0
