-- The next tenants after :after, in order. Each step looks up one tenant by index, so the cost does not
-- depend on the number of sessions.
WITH RECURSIVE found AS (
    SELECT :after::text AS tenant_id
    UNION ALL
    SELECT least(
        (SELECT s.tenant_id FROM upload_sessions AS s WHERE s.tenant_id > found.tenant_id
            ORDER BY s.tenant_id LIMIT 1),
        (SELECT u.tenant_id FROM tenant_usage AS u WHERE u.tenant_id > found.tenant_id
            ORDER BY u.tenant_id LIMIT 1)
    )
    FROM found WHERE found.tenant_id IS NOT NULL
)
SELECT tenant_id FROM found WHERE tenant_id > :after
LIMIT :limit
