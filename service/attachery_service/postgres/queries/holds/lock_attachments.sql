-- The attachments of a locked hold, locked one by one in the order of their ids, as every statement
-- that waits for more than one locks them: until the transaction ends, no other hold on them is taken
-- or released.
SELECT count(*)
FROM (
    SELECT attachment_id FROM held_attachments
    WHERE tenant_id = :tenant_id AND hold_id = :hold_id
    ORDER BY attachment_id
) AS m
CROSS JOIN LATERAL (
    SELECT FROM upload_sessions AS s
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = m.attachment_id
        AND s.state = 'ready' AND s.delete_time IS NULL
    FOR NO KEY UPDATE
) AS locked
