-- Sessions by the pairs of their tenants and ids.
SELECT
{session_columns}
FROM unnest($1::text[], $2::uuid[]) AS wanted (tenant_id, attachment_id)
JOIN upload_sessions AS s
    ON s.tenant_id = wanted.tenant_id AND s.attachment_id = wanted.attachment_id
WHERE s.metadata_purge_time > now()
