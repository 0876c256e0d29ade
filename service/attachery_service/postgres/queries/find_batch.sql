-- A row per id that is asked for: the session if the tenant has it, what the batch's request id came
-- to for it, and whether that id was used before.
SELECT
{session_columns},
    o.payload_digest, o.checks, b.payload_digest AS batch_digest
FROM unnest($2::uuid[]) AS asked (attachment_id)
LEFT JOIN (upload_sessions AS s CROSS JOIN {hold_end} AS held)
    ON s.tenant_id = $1 AND s.attachment_id = asked.attachment_id AND {row_is_kept}
LEFT JOIN request_outcomes AS o
    ON o.tenant_id = $1 AND o.method = $3
    AND o.request_id = $4::text || '/' || asked.attachment_id::text
    AND o.create_time > now() - $5::interval
LEFT JOIN request_outcomes AS b
    ON b.tenant_id = $1 AND b.method = $3 AND b.request_id = $4::text || '/'
    AND b.create_time > now() - $5::interval
