-- Prepares a locked hold for its first renewal, for one after a change by the previous release, and for one
-- after its end: counts its attachments and marks each to take its end from the hold. A hold that has ended
-- loses the attachments without bytes, or the renewal would bring them back.
--
-- The hold's own row stays unchanged: a concurrent first call of the same owner that has locked attachments
-- would wait for the change to end, and the renewal for these attachments.
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
