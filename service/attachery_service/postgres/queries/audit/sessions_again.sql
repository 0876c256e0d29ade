-- Reads sessions again by id, with the columns of audit/sessions.sql.
SELECT
{audit/columns}
WHERE n.tenant_id = :tenant_id AND n.attachment_id = ANY(:attachment_ids::uuid[])
