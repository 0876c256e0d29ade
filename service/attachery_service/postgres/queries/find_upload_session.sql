-- A session by its tenant and id.
SELECT
{session_columns}
FROM upload_sessions AS s CROSS JOIN {hold_end} AS held
WHERE s.tenant_id = $1 AND s.attachment_id = $2 AND {row_is_kept}
