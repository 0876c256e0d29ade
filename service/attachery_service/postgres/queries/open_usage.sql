-- The counters of a tenant, made with its first session.
INSERT INTO tenant_usage (tenant_id, shard)
SELECT $1, generate_series(0, 15)
ON CONFLICT DO NOTHING
