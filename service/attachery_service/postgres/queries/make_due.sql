-- Has the sweep look at a session now. It costs nothing but the look.
UPDATE upload_sessions
SET due_time = least(due_time, now())
WHERE tenant_id = $1 AND attachment_id = $2
