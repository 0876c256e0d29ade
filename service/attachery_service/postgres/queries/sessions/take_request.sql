-- Stores the request id for the claimed session, unless it was used within :request_lifetime.
request AS (
    INSERT INTO request_outcomes AS o (tenant_id, method, request_id, payload_digest, attachment_id)
    SELECT tenant_id, :method::text, :request_id::text, :payload_digest::bytea, attachment_id
    FROM claimed WHERE :request_id::text IS NOT NULL
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = '[]',
            create_time = now()
        WHERE o.create_time <= now() - :request_lifetime::interval
    RETURNING 1
)
