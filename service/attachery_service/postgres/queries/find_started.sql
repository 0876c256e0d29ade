-- The session a request id has started before, and with which payload.
SELECT
{session_columns},
    o.payload_digest, o.checks
FROM request_outcomes AS o
JOIN upload_sessions AS s USING (tenant_id, attachment_id)
CROSS JOIN {hold_end} AS held
WHERE o.tenant_id = $1 AND o.method = $2 AND o.request_id = $3
    AND o.create_time > now() - $4::interval AND {row_is_kept}
