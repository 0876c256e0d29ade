-- A tenant's counters, then the totals of its sessions, at the same moment.
WITH booked AS MATERIALIZED (
{usage/booked}
), counted AS (
    SELECT {usage/totals}
    FROM tenant_usage AS u WHERE u.tenant_id = :tenant_id
)
SELECT counted.*, (
    WITH u AS (SELECT * FROM purpose_usage WHERE tenant_id = :tenant_id)
    {usage/by_purpose}
) AS by_purpose
FROM counted
UNION ALL
SELECT {usage/totals}, (WITH u AS (SELECT * FROM booked) {usage/by_purpose})
FROM booked AS u
