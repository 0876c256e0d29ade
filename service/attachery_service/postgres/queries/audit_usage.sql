-- What is counted of a tenant, and then what its sessions have booked: of one moment.
SELECT
    coalesce(sum(pending_sessions), 0)::bigint AS pending_sessions,
    coalesce(sum(pending_bytes), 0)::bigint AS pending_bytes,
    coalesce(sum(stored_bytes), 0)::bigint AS stored_bytes
FROM tenant_usage WHERE tenant_id = $1
UNION ALL
SELECT
    coalesce(sum(pending_sessions), 0)::bigint, coalesce(sum(pending_bytes), 0)::bigint,
    coalesce(sum(stored_bytes), 0)::bigint
FROM (
{booked_usage}
) AS booked
