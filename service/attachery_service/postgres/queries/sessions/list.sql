-- A page of a tenant's sessions, newest first, after the session of the cursor.
SELECT
{sessions/columns}
FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
WHERE s.tenant_id = :tenant_id
    AND {sessions/row_is_kept}
    AND (:after_time::timestamptz IS NULL OR (s.create_time, s.attachment_id) < (:after_time, :after_id::uuid))
    AND (:create_time_from::timestamptz IS NULL OR s.create_time >= :create_time_from)
    AND (:create_time_before::timestamptz IS NULL OR s.create_time < :create_time_before)
    AND (:purpose::text IS NULL OR s.purpose = :purpose)
    -- Filters by the effective state, written so that the planner can estimate the number of rows.
    AND (:states::session_state[] IS NULL
        OR (s.state = ANY(:states) AND (s.state <> 'pending' OR s.expire_time > now())
            AND (s.state <> 'ready' OR NOT {sessions/bytes_are_gone}))
        OR ('expired' = ANY(:states) AND s.state = 'pending' AND s.expire_time <= now())
        OR ('deleted' = ANY(:states) AND s.state = 'ready' AND {sessions/bytes_are_gone}))
ORDER BY s.create_time DESC, s.attachment_id DESC
LIMIT :limit
