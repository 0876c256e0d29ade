-- Converts the reservations of the sessions made READY to stored bytes. They stay counted as attachments.
per_shard AS (
    SELECT tenant_id, usage_shard,
        -count(*) AS pending_sessions,
        -sum(reserved_bytes)::bigint AS pending_bytes,
        sum(size)::bigint AS stored_bytes, 0 AS attachments
    FROM changed WHERE outcome = 'ready' AND booking = 'stored' GROUP BY tenant_id, usage_shard
), {usage/add}
