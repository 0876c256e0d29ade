-- What a locked hold holds, locked too: until the transaction ends, no other hold on it comes or goes.
WITH wanted AS MATERIALIZED (
    SELECT attachment_id FROM held_attachments WHERE tenant_id = $1 AND hold_id = $2
), {lock_usable}
SELECT count(*) FROM usable
