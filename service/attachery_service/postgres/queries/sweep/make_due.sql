-- Makes a session due for the sweep now.
UPDATE upload_sessions
SET due_time = least(due_time, now())
WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id
