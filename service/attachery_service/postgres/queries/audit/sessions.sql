-- A page of a tenant's sessions in the order of their ids, for an audit. :longest_call is the longest time
-- that a call may still run after its session has ended.
SELECT
{audit/columns}
WHERE n.tenant_id = :tenant_id AND n.attachment_id > :after::uuid
ORDER BY n.attachment_id
LIMIT :limit
