-- A tenant's counters, then the totals of its sessions, at the same moment.
SELECT
    coalesce(sum(pending_sessions), 0)::bigint AS pending_sessions,
    coalesce(sum(pending_bytes), 0)::bigint AS pending_bytes,
    coalesce(sum(stored_bytes), 0)::bigint AS stored_bytes
FROM tenant_usage WHERE tenant_id = :tenant_id
UNION ALL
SELECT
    coalesce(sum(pending_sessions), 0)::bigint, coalesce(sum(pending_bytes), 0)::bigint,
    coalesce(sum(stored_bytes), 0)::bigint
FROM (
{usage/booked}
) AS booked
