-- The last revocation of a subject's tokens.
SELECT revoke_time FROM connection_revocations WHERE tenant_id = :tenant_id AND subject = :subject
