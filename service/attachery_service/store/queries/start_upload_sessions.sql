-- As start_upload_session.sql, for several sessions of one tenant at once. No row for those whose
-- deadline is out of range, and none at all unless one shard that nobody holds is seen to have room
-- for all of them: who gets no row asks alone.
WITH asked AS MATERIALIZED (
    SELECT a.*, coalesce(a.declared_size, a.max_size) AS reserved_bytes, now() AS create_time,
        d.expire_time
    FROM unnest(
        $5::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::text[],
        $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
        $18::timestamptz[], $19::interval[], $20::interval[], $21::interval[], $22::interval[],
        $23::interval[], $24::boolean[], $25::boolean[]
    ) AS a (
        attachment_id, purpose, filename, content_type, declared_size, max_size, checksums,
        content_id, disposition, metadata, seal, upload_key, created_by, asked_time, ttl, min_ttl,
        max_ttl, object_retention, metadata_retention, auto_complete, is_inline
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
), started AS (
    INSERT INTO upload_sessions AS s (
        tenant_id, attachment_id, purpose, filename, content_type, declared_size, max_size,
        declared_checksums, content_id, disposition, metadata, seal, upload_key, created_by,
        expire_time, upload_url_expire_time, object_purge_time, metadata_purge_time,
        usage_shard, reserved_bytes, booking, auto_complete, is_inline, due_time
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
    RETURNING *
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor)
    SELECT tenant_id, attachment_id, revision, state, created_by FROM started
), booked AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions + total.sessions,
        pending_bytes = u.pending_bytes + total.bytes
    FROM total, place
    WHERE u.tenant_id = $1 AND u.shard = place.shard
)
SELECT
{session_columns}
FROM started AS s
