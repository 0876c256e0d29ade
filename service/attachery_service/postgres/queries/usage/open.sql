-- Creates the counters of a tenant before its first session.
INSERT INTO tenant_usage (tenant_id, shard)
SELECT :tenant_id, generate_series(0, 15)
ON CONFLICT DO NOTHING
