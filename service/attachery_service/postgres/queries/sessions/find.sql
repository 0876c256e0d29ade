-- Reads sessions of any tenants, with the stored outcome of a request id. Returns one row per lookup, in any
-- order; `place` is the position of the lookup. Either part of a row may be NULL. A lookup without an
-- `attachment_id` reads the session that its request id has started.
--
-- OFFSET 0 makes the planner look up each row by index instead of joining whole tables.
SELECT s.*, o.payload_digest, o.checks, w.place
FROM ROWS FROM (json_to_recordset(:lookups) AS (
    tenant_id text, attachment_id uuid, method text, request_id text
)) WITH ORDINALITY AS w (tenant_id, attachment_id, method, request_id, place)
LEFT JOIN LATERAL (
    SELECT o.payload_digest, o.checks, o.attachment_id
    FROM request_outcomes AS o
    -- The first condition skips the scan for a lookup without a request id.
    WHERE w.request_id IS NOT NULL
        AND o.tenant_id = w.tenant_id AND o.method = w.method AND o.request_id = w.request_id
        AND o.create_time > now() - :request_lifetime::interval
    OFFSET 0
) AS o ON true
LEFT JOIN LATERAL (
    SELECT
{sessions/columns}
    FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
    WHERE s.tenant_id = w.tenant_id
        AND s.attachment_id = coalesce(w.attachment_id, o.attachment_id)
        AND {sessions/row_is_kept}
    OFFSET 0
) AS s ON true
