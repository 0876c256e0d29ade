-- Locks the session against other calls that take or end holds on it.
SELECT FROM upload_sessions WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id FOR UPDATE
