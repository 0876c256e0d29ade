-- Whether the session `s` is visible and matches the filter of a list.
s.tenant_id = :tenant_id
    AND {sessions/row_is_kept}
    AND (:create_time_from::timestamptz IS NULL OR s.create_time >= :create_time_from)
    AND (:create_time_before::timestamptz IS NULL OR s.create_time < :create_time_before)
    AND (:purpose::text IS NULL OR s.purpose = :purpose)
    -- Filters by the effective state, written so that the planner can estimate the number of rows.
    AND (:states::session_state[] IS NULL
        OR (s.state = ANY(:states) AND (s.state <> 'pending' OR s.expire_time > now())
            AND (s.state <> 'ready' OR NOT {sessions/bytes_are_gone}))
        OR ('expired' = ANY(:states) AND s.state = 'pending' AND s.expire_time <= now())
        OR ('deleted' = ANY(:states) AND s.state = 'ready' AND {sessions/bytes_are_gone}))
