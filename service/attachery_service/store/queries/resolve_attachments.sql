-- The sessions of one tenant among these ids, in one statement however many there are.
SELECT
{session_columns}
FROM upload_sessions AS s
WHERE s.tenant_id = $1 AND s.attachment_id = ANY($2::uuid[]) AND s.metadata_purge_time > now()
