-- Changes the counters by the sessions in `changed`, from their former bookings (`booked`) to the new ones.
-- No booking becomes pending.
per_purpose AS MATERIALIZED (
    SELECT tenant_id, usage_shard, purpose,
        -count(*) FILTER (WHERE booked = 'pending') AS pending_sessions,
        -coalesce(sum(reserved_bytes) FILTER (WHERE booked = 'pending'), 0)::bigint AS pending_bytes,
        (coalesce(sum(size) FILTER (WHERE booking = 'stored'), 0)
            - coalesce(sum(size) FILTER (WHERE booked = 'stored'), 0))::bigint AS stored_bytes,
        -count(*) FILTER (WHERE booking = 'released') AS attachments
    FROM changed WHERE booked <> booking GROUP BY tenant_id, usage_shard, purpose
), per_shard AS (
    SELECT tenant_id, usage_shard,
        sum(pending_sessions)::bigint AS pending_sessions,
        sum(pending_bytes)::bigint AS pending_bytes,
        sum(stored_bytes)::bigint AS stored_bytes,
        sum(attachments)::bigint AS attachments
    FROM per_purpose GROUP BY tenant_id, usage_shard
), {usage/add}, counted_purposes AS (
    UPDATE purpose_usage AS v
    SET attachments = greatest(v.attachments + p.attachments, 0)
    FROM per_purpose AS p, (SELECT count(*) AS held FROM locked) AS locks
    WHERE v.tenant_id = p.tenant_id AND v.purpose = p.purpose AND v.shard = p.usage_shard
        AND p.attachments <> 0 AND locks.held > 0
)
