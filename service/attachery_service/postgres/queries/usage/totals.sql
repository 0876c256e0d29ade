-- The totals of counters `u` of one tenant.
    coalesce(sum(u.pending_sessions), 0)::bigint AS pending_sessions,
    coalesce(sum(u.pending_bytes), 0)::bigint AS pending_bytes,
    coalesce(sum(u.stored_bytes), 0)::bigint AS stored_bytes,
    coalesce(sum(u.attachments), 0)::bigint AS attachments
