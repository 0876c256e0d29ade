-- Locks the attachments of a locked hold, and :attachment_ids: until this transaction ends, no other hold on
-- them is taken or released. They are locked in the order of their ids, as in every statement that waits for
-- several, which prevents deadlocks.
SELECT count(*)
FROM (
    SELECT attachment_id FROM held_attachments
    WHERE tenant_id = :tenant_id AND hold_id = :hold_id
    UNION
    SELECT unnest(:attachment_ids::uuid[])
    ORDER BY attachment_id
) AS m
CROSS JOIN LATERAL (
    SELECT FROM upload_sessions AS s
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = m.attachment_id
    FOR NO KEY UPDATE
) AS locked
