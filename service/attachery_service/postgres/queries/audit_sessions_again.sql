-- As audit_sessions.sql, those of these ids.
SELECT
{audited_columns}
WHERE n.tenant_id = $1 AND n.attachment_id = ANY($5::uuid[])
