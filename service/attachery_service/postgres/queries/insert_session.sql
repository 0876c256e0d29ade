request AS (
    INSERT INTO request_outcomes AS o (tenant_id, method, request_id, payload_digest, attachment_id)
    SELECT $1, $3::text, $4::text, $5::bytea, $2 FROM place WHERE $4::text IS NOT NULL
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = '[]',
            create_time = now()
        WHERE o.create_time <= now() - $6::interval
    RETURNING 1
), started AS (
    INSERT INTO upload_sessions AS s (
{started_columns}
    )
    SELECT
        $1::text, $2::uuid, $7, $8, $9, $10, $11, $12::jsonb, $13, $14, $15::jsonb, $16, $17, $18,
        n.expire_time, n.expire_time, greatest(n.create_time + $23::interval, n.expire_time),
        greatest(n.create_time + $24::interval, n.create_time + $23::interval, n.expire_time),
        shard, coalesce($10, $11), 'pending', $25::boolean, $26::boolean,
        CASE WHEN $25::boolean THEN {auto_complete_time} ELSE n.expire_time END
    FROM place, LATERAL (SELECT now() AS create_time, deadline AS expire_time) AS n
    WHERE $4::text IS NULL OR EXISTS (SELECT FROM request)
    RETURNING *
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, request_id)
    SELECT tenant_id, attachment_id, revision, state, created_by, $4 FROM started
)
