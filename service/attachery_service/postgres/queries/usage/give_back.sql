-- Subtracts the former bookings (`booked`) of the changed sessions from the counters.
per_shard AS (
    SELECT tenant_id, usage_shard,
        -count(*) FILTER (WHERE booked = 'pending') AS pending_sessions,
        -coalesce(sum(reserved_bytes) FILTER (WHERE booked = 'pending'), 0)::bigint AS pending_bytes,
        -coalesce(sum(size) FILTER (WHERE booked = 'stored'), 0)::bigint AS stored_bytes
    FROM changed WHERE booked IN ('pending', 'stored') GROUP BY tenant_id, usage_shard
), {usage/add}
