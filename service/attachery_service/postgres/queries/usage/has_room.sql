-- Whether the shard `u` has room for the sessions of one tenant; `t` has its limits and their totals. The
-- limits by purpose must be those of its shares; purposes_have_room.sql compares the shares themselves.
(
    (u.max_pending_sessions, u.max_pending_bytes, u.max_stored_bytes, u.max_attachments)
        IS NOT DISTINCT FROM
        (t.max_pending_sessions, t.max_pending_bytes, t.max_stored_bytes, t.max_attachments)
    AND coalesce(u.purpose_limits @> t.purpose_limits, true)
    AND coalesce(NOT u.purpose_limits ?| t.unlimited, true)
    AND u.pending_sessions <= u.sessions_share - t.sessions
    AND u.pending_bytes <= u.pending_share - t.bytes
    AND u.pending_bytes + u.stored_bytes <= u.stored_share - t.bytes
    AND u.attachments <= u.attachments_share - t.sessions
)
