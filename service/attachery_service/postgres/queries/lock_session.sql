-- Nobody takes or ends a hold on the session meanwhile.
SELECT FROM upload_sessions WHERE tenant_id = $1 AND attachment_id = $2 FOR UPDATE
