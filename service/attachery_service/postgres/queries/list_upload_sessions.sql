-- A page of a tenant's sessions after the given one, the newest first.
SELECT
{session_columns}
FROM upload_sessions AS s CROSS JOIN {hold_end} AS held
WHERE s.tenant_id = $1
    AND {row_is_kept}
    AND ($2::timestamptz IS NULL OR (s.create_time, s.attachment_id) < ($2, $3::uuid))
    AND ($4::timestamptz IS NULL OR s.create_time >= $4)
    AND ($5::timestamptz IS NULL OR s.create_time < $5)
    AND ($6::text IS NULL OR s.purpose = $6)
    -- The states with deadlines applied, said so that the planner knows how many rows have them.
    AND ($7::session_state[] IS NULL
        OR (s.state = ANY($7) AND (s.state <> 'pending' OR s.expire_time > now())
            AND (s.state <> 'ready' OR NOT {bytes_are_gone}))
        OR ('expired' = ANY($7) AND s.state = 'pending' AND s.expire_time <= now())
        OR ('deleted' = ANY($7) AND s.state = 'ready' AND {bytes_are_gone}))
ORDER BY s.create_time DESC, s.attachment_id DESC
LIMIT $8
