-- Whether the shard `u` has room for the sessions of one tenant; `t` has its limits and their totals.
(
    (u.max_pending_sessions, u.max_pending_bytes, u.max_stored_bytes)
        IS NOT DISTINCT FROM (t.max_pending_sessions, t.max_pending_bytes, t.max_stored_bytes)
    AND u.pending_sessions <= u.sessions_share - t.sessions
    AND u.pending_bytes <= u.pending_share - t.bytes
    AND u.pending_bytes + u.stored_bytes <= u.stored_share - t.bytes
)
