(
    (u.max_pending_sessions, u.max_pending_bytes, u.max_stored_bytes)
        IS NOT DISTINCT FROM ($2::bigint, $3::bigint, $4::bigint)
    AND u.pending_sessions <= u.sessions_share - total.sessions
    AND u.pending_bytes <= u.pending_share - total.bytes
    AND u.pending_bytes + u.stored_bytes <= u.stored_share - total.bytes
)
