-- A session by its tenant and id.
SELECT
{session_columns}
FROM upload_sessions AS s
WHERE s.tenant_id = $1 AND s.attachment_id = $2 AND s.metadata_purge_time > now()
