-- Creates the counters of a purpose that has a limit, before its first session under this limit. The
-- shares of all shards can be computed only if all rows exist.
INSERT INTO purpose_usage (tenant_id, purpose, shard)
SELECT :tenant_id, :purpose, generate_series(0, 15)
ON CONFLICT DO NOTHING
