-- The usage computed from a tenant's sessions, by shard and purpose.
SELECT
    usage_shard AS shard,
    purpose,
    count(*) FILTER (WHERE booking = 'pending') AS pending_sessions,
    coalesce(sum(reserved_bytes) FILTER (WHERE booking = 'pending'), 0)::bigint AS pending_bytes,
    coalesce(sum(size) FILTER (WHERE booking = 'stored'), 0)::bigint AS stored_bytes,
    count(*) AS attachments
FROM upload_sessions
WHERE tenant_id = :tenant_id AND booking IN ('pending', 'stored')
GROUP BY usage_shard, purpose
