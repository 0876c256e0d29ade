-- Extends a hold, unless it was released or has expired; then it is returned unchanged, if it was named by
-- its id. The rows of its attachments do not change. `unsettled`: nothing was changed, run holds/settle.sql first. :settled_count is
-- the count that holds/settle.sql returned in this transaction.
--
-- The clock is read after locking. The sweep locks an expired hold before it deletes the bytes of its
-- attachments, so a call that waited for the sweep finds the hold expired.
WITH current AS MATERIALIZED (
    SELECT * FROM holds WHERE tenant_id = :tenant_id AND hold_id = {holds/named} FOR NO KEY UPDATE
), judged AS MATERIALIZED (
    SELECT c.*, clock_timestamp() AS read_time,
        c.release_time IS NULL AND c.expire_time > clock_timestamp() AS is_live,
        :settled_count::bigint IS NOT NULL OR {holds/is_settled} AS is_settled
    FROM current AS c
), extended AS (
    UPDATE holds AS h
    SET expire_time = greatest(h.expire_time, j.read_time + :ttl::interval),
        revision = h.revision + 1,
        counted_revision = h.revision + 1,
        attachment_count = coalesce(:settled_count::bigint, h.attachment_count)
    FROM judged AS j
    WHERE h.tenant_id = :tenant_id AND h.hold_id = j.hold_id AND j.is_live AND j.is_settled
    RETURNING h.*
)
SELECT
{holds/columns},
    {holds/attachment_count},
    j.read_time,
    j.is_live AND NOT j.is_settled AS unsettled
FROM judged AS j
CROSS JOIN LATERAL (
    SELECT * FROM extended
    UNION ALL
    SELECT * FROM current WHERE NOT EXISTS (SELECT FROM extended)
) AS h
WHERE j.is_live OR :hold_id::uuid IS NOT NULL
