-- Corrects a tenant's counters by their difference from its sessions. A concurrent booking changes both
-- sides by the same amount, so the difference is computed before the shards are locked, and they are
-- locked only briefly. Shares were computed from the wrong counters, so the next Start divides again: -1
-- is no limit of any service.
WITH booked AS MATERIALIZED (
{usage/booked}
), lacking AS MATERIALIZED (
    SELECT
        t.shard,
        b.pending_sessions - t.pending_sessions AS pending_sessions,
        b.pending_bytes - t.pending_bytes AS pending_bytes,
        b.stored_bytes - t.stored_bytes AS stored_bytes,
        b.attachments - t.attachments AS attachments
    FROM tenant_usage AS t CROSS JOIN LATERAL (
        SELECT {usage/totals}
        FROM booked AS u WHERE u.shard = t.shard
    ) AS b
    WHERE t.tenant_id = :tenant_id
), lacking_of_purpose AS MATERIALIZED (
    SELECT purpose, shard, coalesce(b.attachments, 0) - coalesce(v.attachments, 0) AS attachments
    FROM booked AS b
    FULL JOIN (SELECT * FROM purpose_usage WHERE tenant_id = :tenant_id) AS v USING (purpose, shard)
), locked AS (
    SELECT u.shard
    FROM lacking AS l JOIN tenant_usage AS u ON u.tenant_id = :tenant_id AND u.shard = l.shard
    ORDER BY u.shard
    FOR UPDATE OF u
), counted_purposes AS (
    INSERT INTO purpose_usage AS v (tenant_id, purpose, shard, attachments)
    SELECT :tenant_id, l.purpose, l.shard, l.attachments
    FROM lacking_of_purpose AS l, (SELECT count(*) AS held FROM locked) AS locks
    WHERE l.attachments <> 0 AND locks.held > 0
    ORDER BY l.purpose, l.shard
    ON CONFLICT (tenant_id, purpose, shard)
        DO UPDATE SET attachments = greatest(v.attachments + excluded.attachments, 0)
)
UPDATE tenant_usage AS u
SET pending_sessions = u.pending_sessions + l.pending_sessions,
    pending_bytes = u.pending_bytes + l.pending_bytes,
    stored_bytes = u.stored_bytes + l.stored_bytes,
    attachments = greatest(u.attachments + l.attachments, 0),
    max_attachments = -1,
    purpose_limits = '{}'
FROM lacking AS l, (SELECT count(*) AS held FROM locked) AS locks
WHERE u.tenant_id = :tenant_id AND u.shard = l.shard AND locks.held > 0
