-- Counts the attachments that exist. Calls go on meanwhile; bookings wait for the second statement only: for a
-- million sessions of 1,000 tenants on 2 cores 0.4 s, after a count of 6 s.
--
-- The previous release does not count the sessions that it starts or deletes until it has stopped. Then
-- `attachery audit --repair` corrects the counters.
INSERT INTO purpose_usage (tenant_id, purpose, shard, attachments)
SELECT tenant_id, purpose, usage_shard, count(*)
FROM upload_sessions
WHERE booking IN ('pending', 'stored')
GROUP BY tenant_id, purpose, usage_shard;

-- Shards are locked in order, as in every statement that locks several.
WITH counted AS MATERIALIZED (
    SELECT tenant_id, shard, sum(attachments)::bigint AS attachments
    FROM purpose_usage GROUP BY tenant_id, shard
), locked AS (
    SELECT u.shard
    FROM counted AS c JOIN tenant_usage AS u USING (tenant_id, shard)
    ORDER BY u.tenant_id, u.shard
    FOR UPDATE OF u
)
UPDATE tenant_usage AS u
SET attachments = c.attachments
FROM counted AS c, (SELECT count(*) AS held FROM locked) AS locks
WHERE u.tenant_id = c.tenant_id AND u.shard = c.shard AND locks.held > 0;

ALTER TABLE tenant_usage VALIDATE CONSTRAINT attachments_are_not_negative;
