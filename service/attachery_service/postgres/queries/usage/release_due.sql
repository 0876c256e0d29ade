-- Releases the reservations of a tenant's sessions with expired targets. It also settles sessions that the
-- previous release made READY, because that release does not settle reservations.
--
-- Sessions locked by other calls are skipped until the next run, so this statement never waits for a session.
-- Shards are locked in order, as in every statement that locks several.
WITH due AS (
    SELECT d.attachment_id FROM upload_sessions AS d
    WHERE d.tenant_id = :tenant_id AND {usage/is_due}
    ORDER BY d.upload_url_expire_time
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), released AS (
    UPDATE upload_sessions AS s
    SET booking = CASE WHEN s.state = 'ready' THEN 'stored'::booking ELSE 'released' END
    FROM due
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = due.attachment_id
    RETURNING s.usage_shard, s.reserved_bytes, s.size
), per_shard AS (
    SELECT
        usage_shard, count(*) AS sessions, sum(reserved_bytes)::bigint AS bytes,
        coalesce(sum(size), 0)::bigint AS stored
    FROM released GROUP BY usage_shard
), locked AS (
    SELECT shard FROM tenant_usage
    WHERE tenant_id = :tenant_id AND shard IN (SELECT usage_shard FROM per_shard)
    ORDER BY shard
    FOR UPDATE
), freed AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions - p.sessions,
        pending_bytes = u.pending_bytes - p.bytes,
        stored_bytes = u.stored_bytes + p.stored
    FROM per_shard AS p, (SELECT count(*) AS held FROM locked) AS locks
    WHERE u.tenant_id = :tenant_id AND u.shard = p.usage_shard AND locks.held > 0
)
SELECT count(*) AS released FROM released
