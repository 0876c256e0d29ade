-- Those of :tenant_ids that have sessions or counters, as audit/tenants.sql finds them.
SELECT asked.tenant_id
FROM unnest(:tenant_ids::text[]) AS asked (tenant_id)
WHERE EXISTS (SELECT FROM upload_sessions AS s WHERE s.tenant_id = asked.tenant_id)
    OR EXISTS (SELECT FROM tenant_usage AS u WHERE u.tenant_id = asked.tenant_id)
