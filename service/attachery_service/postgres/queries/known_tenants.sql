-- Those of these tenants that audit_tenants.sql would find.
SELECT asked.tenant_id
FROM unnest($1::text[]) AS asked (tenant_id)
WHERE EXISTS (SELECT FROM upload_sessions AS s WHERE s.tenant_id = asked.tenant_id)
    OR EXISTS (SELECT FROM tenant_usage AS u WHERE u.tenant_id = asked.tenant_id)
