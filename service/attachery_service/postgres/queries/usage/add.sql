-- Adds the changes in `per_shard` to the counters. Shards are locked in order, as in every statement that
-- locks several: the count takes all locks before the first update.
--
-- The number of attachments does not include sessions that the previous release has started, so it could
-- become negative when these end.
locked AS (
    SELECT u.shard
    FROM per_shard AS p
    JOIN tenant_usage AS u ON u.tenant_id = p.tenant_id AND u.shard = p.usage_shard
    ORDER BY u.tenant_id, u.shard
    FOR UPDATE OF u
), counted AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions + p.pending_sessions,
        pending_bytes = u.pending_bytes + p.pending_bytes,
        stored_bytes = u.stored_bytes + p.stored_bytes,
        attachments = greatest(u.attachments + p.attachments, 0)
    FROM per_shard AS p, (SELECT count(*) AS held FROM locked) AS locks
    WHERE u.tenant_id = p.tenant_id AND u.shard = p.usage_shard AND locks.held > 0
)
