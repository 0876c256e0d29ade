-- A tenant's usage: its counters minus the reservations that are due for release.
SELECT
    coalesce(sum(u.pending_sessions), 0)::bigint - due.sessions AS pending_sessions,
    coalesce(sum(u.pending_bytes), 0)::bigint - due.bytes AS pending_bytes,
    coalesce(sum(u.stored_bytes), 0)::bigint + due.stored AS stored_bytes
FROM (
    SELECT
        count(*) AS sessions, coalesce(sum(d.reserved_bytes), 0)::bigint AS bytes,
        coalesce(sum(d.size), 0)::bigint AS stored
    FROM upload_sessions AS d
    WHERE d.tenant_id = :tenant_id AND {usage/is_due}
) AS due
LEFT JOIN tenant_usage AS u ON u.tenant_id = :tenant_id
GROUP BY due.sessions, due.bytes, due.stored
