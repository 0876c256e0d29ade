-- Revokes the tokens of a subject that were issued until now. Of two revocations at the same time the later
-- one covers the tokens issued between them.
INSERT INTO connection_revocations AS r (tenant_id, subject)
SELECT :tenant_id, :subject
ON CONFLICT (tenant_id, subject) DO UPDATE
    SET revoke_time = greatest(now(), r.revoke_time + interval '1 microsecond')
RETURNING revoke_time
