-- Those `wanted` whose bytes can be used, locked: nobody deletes them meanwhile. A hold is always
-- locked before its attachments, and these one by one in their order, so that no two calls wait for
-- each other.
usable AS MATERIALIZED (
    SELECT w.*
    FROM (SELECT * FROM wanted ORDER BY attachment_id) AS w
    CROSS JOIN LATERAL (
        SELECT FROM upload_sessions AS s
        WHERE s.tenant_id = $1 AND s.attachment_id = w.attachment_id
            AND s.state = 'ready' AND NOT {bytes_are_gone}
        FOR NO KEY UPDATE
    ) AS locked
)
