-- Locks the session, so that no other call takes or ends a hold on it.
SELECT FROM upload_sessions WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id FOR UPDATE
