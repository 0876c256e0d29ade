-- As find_with_outcome.sql, for several tenants, ids and request ids. $3 and $4 have NULL for who
-- gave none. `place` says whose row it is.
SELECT
{session_columns},
    o.payload_digest, o.checks, wanted.place
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[])
    WITH ORDINALITY AS wanted (tenant_id, attachment_id, method, request_id, place)
JOIN upload_sessions AS s
    ON s.tenant_id = wanted.tenant_id AND s.attachment_id = wanted.attachment_id
CROSS JOIN {hold_end} AS held
LEFT JOIN request_outcomes AS o
    ON o.tenant_id = wanted.tenant_id AND o.method = wanted.method
    AND o.request_id = wanted.request_id AND o.create_time > now() - $5::interval
WHERE {row_is_kept}
