(
    (u.max_pending_sessions, u.max_pending_bytes, u.max_stored_bytes)
        IS NOT DISTINCT FROM ($27::bigint, $28::bigint, $29::bigint)
    AND u.pending_sessions < u.sessions_share
    AND u.pending_bytes <= u.pending_share - coalesce($10::bigint, $11::bigint)
    AND u.pending_bytes + u.stored_bytes <= u.stored_share - coalesce($10::bigint, $11::bigint)
)
