-- A tenant's usage, with that of one purpose: its counters minus the reservations that are due for release.
SELECT
    u.pending_sessions - due.sessions AS pending_sessions,
    u.pending_bytes - due.bytes AS pending_bytes,
    u.stored_bytes + due.stored AS stored_bytes,
    greatest(u.attachments - due.attachments, 0) AS attachments,
    jsonb_build_object(
        :purpose::text, greatest(of_purpose.attachments - due.of_purpose, 0)
    ) AS by_purpose
FROM (
    SELECT {usage/totals}
    FROM tenant_usage AS u WHERE u.tenant_id = :tenant_id
) AS u, (
    SELECT {usage/of_purpose}
    FROM purpose_usage AS v WHERE v.tenant_id = :tenant_id AND v.purpose = :purpose
) AS of_purpose, (
    SELECT
        count(*) AS sessions, coalesce(sum(d.reserved_bytes), 0)::bigint AS bytes,
        coalesce(sum(d.size), 0)::bigint AS stored,
        count(*) FILTER (WHERE d.state <> 'ready') AS attachments,
        count(*) FILTER (WHERE d.state <> 'ready' AND d.purpose = :purpose) AS of_purpose
    FROM upload_sessions AS d
    WHERE d.tenant_id = :tenant_id AND {usage/is_due}
) AS due
