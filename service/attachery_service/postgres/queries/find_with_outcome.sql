-- A session, and what the request id at hand came to before.
SELECT
{session_columns},
    o.payload_digest, o.checks
FROM upload_sessions AS s CROSS JOIN {hold_end} AS held
LEFT JOIN request_outcomes AS o
    ON o.tenant_id = $1 AND o.method = $3 AND o.request_id = $4
    AND o.create_time > now() - $5::interval
WHERE s.tenant_id = $1 AND s.attachment_id = $2 AND {row_is_kept}
