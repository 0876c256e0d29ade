-- A page of a tenant's sessions, newest first, after the session of the cursor.
SELECT
{sessions/columns}
FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
WHERE {sessions/is_listed}
    AND (:after_time::timestamptz IS NULL OR (s.create_time, s.attachment_id) < (:after_time, :after_id::uuid))
ORDER BY s.create_time DESC, s.attachment_id DESC
LIMIT :limit
