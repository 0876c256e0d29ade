-- A page of a tenant's sessions in the order of their ids, for an audit. $2 and $3 as in
-- next_due.sql, $4 is the longest that a call may still be at work after a session has ended.
SELECT
{audited_columns}
WHERE n.tenant_id = $1 AND n.attachment_id > $5::uuid
ORDER BY n.attachment_id
LIMIT $6
