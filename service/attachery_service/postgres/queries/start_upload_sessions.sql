-- As start_upload_session.sql, for several sessions of one tenant at once. No row for those whose
-- deadline is out of range or whose request id is taken, and none at all unless one shard that nobody
-- holds is seen to have room for all of them: who gets no row asks alone.
WITH asked AS MATERIALIZED (
    SELECT a.*, coalesce(a.declared_size, a.max_size) AS reserved_bytes, now() AS create_time,
        d.expire_time
    FROM unnest(
        $7::uuid[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::text[],
        $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[],
        $20::timestamptz[], $21::interval[], $22::interval[], $23::interval[], $24::interval[],
        $25::interval[], $26::boolean[], $27::boolean[],
        $28::text[], $29::bytea[]
    ) AS a (
        attachment_id, purpose, filename, content_type, declared_size, max_size, checksums,
        content_id, disposition, metadata, seal, upload_key, created_by, asked_time, ttl, min_ttl,
        max_ttl, object_retention, metadata_retention, auto_complete, is_inline, request_id,
        payload_digest
    ), LATERAL (SELECT coalesce(a.asked_time, now() + a.ttl) AS expire_time) AS d
    WHERE d.expire_time BETWEEN now() + a.min_ttl AND now() + a.max_ttl
), total AS MATERIALIZED (
    SELECT count(*) AS sessions, sum(reserved_bytes)::bigint AS bytes FROM asked HAVING count(*) > 0
), roomy AS MATERIALIZED (
    SELECT u.shard FROM total, tenant_usage AS u WHERE u.tenant_id = $1 AND {has_room_for_all}
), free AS MATERIALIZED (
    SELECT u.* FROM roomy JOIN tenant_usage AS u ON u.tenant_id = $1 AND u.shard = roomy.shard
    ORDER BY random()
    LIMIT 1
    FOR UPDATE OF u SKIP LOCKED
), place AS MATERIALIZED (
    -- Seen again now that it is locked: others have booked since.
    SELECT u.shard FROM total, free AS u WHERE {has_room_for_all}
), request AS (
    INSERT INTO request_outcomes AS o (tenant_id, method, request_id, payload_digest, attachment_id)
    SELECT $1::text, $5::text, a.request_id, a.payload_digest, a.attachment_id
    FROM place, asked AS a
    WHERE a.request_id IS NOT NULL
    -- Always in this order, so that of two statements neither waits for what the other one has.
    ORDER BY a.request_id
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = '[]',
            create_time = now()
        WHERE o.create_time <= now() - $6::interval
    RETURNING attachment_id
), started AS (
    INSERT INTO upload_sessions AS s (
{started_columns}
    )
    SELECT
        $1::text, n.attachment_id, n.purpose, n.filename, n.content_type, n.declared_size,
        n.max_size, n.checksums::jsonb, n.content_id, n.disposition::disposition, n.metadata::jsonb,
        n.seal::seal, n.upload_key, n.created_by, n.expire_time, n.expire_time,
        greatest(n.create_time + n.object_retention, n.expire_time),
        greatest(n.create_time + n.metadata_retention, n.create_time + n.object_retention,
            n.expire_time),
        place.shard, n.reserved_bytes, 'pending', n.auto_complete, n.is_inline,
        CASE WHEN n.auto_complete THEN {auto_complete_time} ELSE n.expire_time END
    FROM place, asked AS n
    WHERE n.request_id IS NULL OR n.attachment_id IN (SELECT attachment_id FROM request)
    RETURNING *
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, request_id)
    SELECT s.tenant_id, s.attachment_id, s.revision, s.state, s.created_by, a.request_id
    FROM started AS s JOIN asked AS a USING (attachment_id)
), booked AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions + s.sessions,
        pending_bytes = u.pending_bytes + s.bytes
    FROM (
        SELECT usage_shard, count(*) AS sessions, sum(reserved_bytes)::bigint AS bytes
        FROM started GROUP BY usage_shard
    ) AS s
    WHERE u.tenant_id = $1 AND u.shard = s.usage_shard
)
SELECT
{session_columns}
FROM started AS s CROSS JOIN {hold_end} AS held
