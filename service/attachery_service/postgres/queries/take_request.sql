-- The request id of what was claimed, unless it was used in the last 24 hours.
request AS (
    INSERT INTO request_outcomes AS o
        (tenant_id, method, request_id, payload_digest, attachment_id, checks)
    SELECT tenant_id, $4::text, $5::text, $6::bytea, attachment_id, $8::jsonb
    FROM claimed WHERE $5::text IS NOT NULL
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = excluded.checks,
            create_time = now()
        WHERE o.create_time <= now() - $7::interval
    RETURNING 1
)
