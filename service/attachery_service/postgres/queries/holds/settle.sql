-- Prepares a locked hold for a renewal: its first one, one after a change by the previous release, or one
-- after its expiry. It counts the attachments, and sets their `end_time` to NULL, so that their end is read
-- from the hold. An expired hold loses the attachments without bytes; otherwise the renewal would make them
-- available again.
--
-- The hold's own row is not changed here, to prevent a deadlock: a concurrent first call of the same owner
-- may have locked attachments and would wait for that row, while the renewal waits for the attachments.
WITH gone AS MATERIALIZED (
    SELECT a.attachment_id
    FROM holds AS h
    JOIN held_attachments AS a ON a.tenant_id = h.tenant_id AND a.hold_id = h.hold_id
    LEFT JOIN upload_sessions AS s
        ON s.tenant_id = a.tenant_id AND s.attachment_id = a.attachment_id
    CROSS JOIN {holds/end} AS held
    WHERE h.tenant_id = :tenant_id AND h.hold_id = :hold_id AND h.expire_time <= clock_timestamp()
        AND (s.attachment_id IS NULL OR {sessions/bytes_are_gone})
), dropped AS (
    DELETE FROM held_attachments
    WHERE tenant_id = :tenant_id AND hold_id = :hold_id AND attachment_id IN (SELECT attachment_id FROM gone)
), opened AS (
    UPDATE held_attachments SET end_time = NULL
    WHERE tenant_id = :tenant_id AND hold_id = :hold_id AND end_time IS NOT NULL
        AND attachment_id NOT IN (SELECT attachment_id FROM gone)
)
SELECT count(*) - (SELECT count(*) FROM gone) AS attachment_count
FROM held_attachments
WHERE tenant_id = :tenant_id AND hold_id = :hold_id
