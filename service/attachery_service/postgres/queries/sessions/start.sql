-- Stores PENDING sessions of any tenants with their history and request ids, and reserves their quota.
-- All sessions of one tenant are booked in one shard of its counters, also of those by purpose. Returns no row for a session whose
-- deadline is out of range or whose request id is already in use, nor for the sessions of a tenant if no
-- shard has room for all of them. A missing session is started again on its own; if that
-- returns no row either, usage/rebalance.sql redistributes the quota or shows that it is exhausted.
--
-- Deadlocks cannot occur, although shards are locked in random order: `free` skips locked shards. Only a
-- statement with one session waits for a shard, in `waited`, and holds no other lock at that time. Request
-- ids are stored in a fixed order, and so are new rows of purposes afterwards. Existing rows of purposes
-- belong to a locked shard, so no other call has locked them.
WITH wanted AS MATERIALIZED (
    SELECT w.*, coalesce(w.declared_size, w.max_size) AS reserved_bytes, now() AS create_time,
        {sessions/deadline} AS expire_time
    FROM {sessions/lock_patience} AS patience, ROWS FROM (json_to_recordset(:sessions) AS (
        tenant_id text, attachment_id uuid, purpose text, filename text, content_type text,
        declared_size bigint, max_size bigint, declared_checksums jsonb, content_id text,
        disposition disposition, is_inline boolean, metadata jsonb, seal seal,
        undeclared_size undeclared_size, upload_key text,
        created_by text, subject text, wanted_expire_time timestamptz, ttl interval, min_ttl interval,
        max_ttl interval, object_retention interval, metadata_retention interval, auto_complete boolean,
        max_pending_sessions bigint, max_pending_bytes bigint, max_stored_bytes bigint,
        max_attachments bigint, max_of_purpose bigint, method text, request_id text, payload_digest bytea
    )) WITH ORDINALITY AS w (
        tenant_id, attachment_id, purpose, filename, content_type, declared_size, max_size,
        declared_checksums, content_id, disposition, is_inline, metadata, seal, undeclared_size, upload_key,
        created_by, subject, wanted_expire_time, ttl, min_ttl, max_ttl, object_retention, metadata_retention,
        auto_complete, max_pending_sessions, max_pending_bytes, max_stored_bytes,
        max_attachments, max_of_purpose, method, request_id, payload_digest, place
    )
    -- With this range the planner estimates one row, without it a hundred. With one row it reads the
    -- tables below by index, even in a plan made while they were empty.
    WHERE w.place BETWEEN 1 AND 1000 AND {sessions/is_in_range}
), total AS MATERIALIZED (
    -- All sessions of one purpose have the same limit, which is that of the service's policy.
    SELECT tenant_id, max_pending_sessions, max_pending_bytes, max_stored_bytes, max_attachments,
        count(*) AS sessions, sum(reserved_bytes)::bigint AS bytes,
        jsonb_object_agg(purpose, max_of_purpose) FILTER (WHERE max_of_purpose IS NOT NULL)
            AS purpose_limits,
        array_agg(purpose) FILTER (WHERE max_of_purpose IS NOT NULL) AS limited,
        array_agg(purpose) FILTER (WHERE max_of_purpose IS NULL) AS unlimited
    FROM wanted
    GROUP BY tenant_id, max_pending_sessions, max_pending_bytes, max_stored_bytes, max_attachments
), free AS MATERIALIZED (
    SELECT u.*
    FROM total AS t
    CROSS JOIN LATERAL (
        -- The subquery checks for room before locking. As a condition of the locking query it would be
        -- checked again after the lock, and a row without room would stay locked.
        SELECT u.*
        FROM (
            SELECT u.shard
            FROM (
                -- OFFSET 0: purposes are looked up for one shard after the other, until one has room.
                SELECT u.shard FROM tenant_usage AS u
                WHERE u.tenant_id = t.tenant_id AND {usage/has_room}
                ORDER BY random()
                OFFSET 0
            ) AS u
            WHERE {usage/purposes_have_room}
            OFFSET 0
        ) AS candidate
        JOIN tenant_usage AS u ON u.tenant_id = t.tenant_id AND u.shard = candidate.shard
        LIMIT 1
        FOR UPDATE OF u SKIP LOCKED
    ) AS u
), chosen AS MATERIALIZED (
    SELECT u.tenant_id, u.shard
    FROM total AS t JOIN tenant_usage AS u ON u.tenant_id = t.tenant_id
    WHERE {usage/has_room} AND {usage/purposes_have_room}
        AND NOT EXISTS (SELECT FROM free) AND (SELECT count(*) FROM wanted) = 1
    ORDER BY random()
    LIMIT 1
), waited AS MATERIALIZED (
    SELECT u.*
    FROM chosen JOIN tenant_usage AS u ON u.tenant_id = chosen.tenant_id AND u.shard = chosen.shard
    FOR UPDATE OF u
), roomy AS MATERIALIZED (
    -- Judged again under the lock: concurrent calls may have booked since.
    SELECT t.*, u.shard
    FROM total AS t
    JOIN (SELECT * FROM free UNION ALL SELECT * FROM waited) AS u USING (tenant_id)
    WHERE {usage/has_room} AND {usage/locked_purposes_have_room}
), placed AS MATERIALIZED (
    SELECT w.*, r.shard
    FROM wanted AS w JOIN roomy AS r ON r.tenant_id = w.tenant_id
        AND (r.max_pending_sessions, r.max_pending_bytes, r.max_stored_bytes, r.max_attachments)
            IS NOT DISTINCT FROM
            (w.max_pending_sessions, w.max_pending_bytes, w.max_stored_bytes, w.max_attachments)
), request AS (
    INSERT INTO request_outcomes AS o (tenant_id, method, request_id, payload_digest, attachment_id)
    SELECT tenant_id, method, request_id, payload_digest, attachment_id
    FROM placed
    WHERE request_id IS NOT NULL
    ORDER BY tenant_id, method, request_id
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = '[]',
            create_time = now()
        WHERE o.create_time <= now() - :request_lifetime::interval
    RETURNING o.tenant_id, o.attachment_id
), accepted AS MATERIALIZED (
    SELECT * FROM placed
    WHERE request_id IS NULL
        OR (tenant_id, attachment_id) IN (SELECT tenant_id, attachment_id FROM request)
), started AS (
    INSERT INTO upload_sessions AS s (
        tenant_id, attachment_id, purpose, filename, content_type, declared_size, max_size,
        declared_checksums, content_id, disposition, is_inline, metadata, seal, undeclared_size, upload_key,
        created_by, subject, expire_time, upload_url_expire_time, object_purge_time, metadata_purge_time,
        usage_shard, reserved_bytes, booking, auto_complete, due_time
    )
    SELECT
        n.tenant_id, n.attachment_id, n.purpose, n.filename, n.content_type, n.declared_size,
        n.max_size, n.declared_checksums, n.content_id, n.disposition, n.is_inline, n.metadata,
        n.seal, n.undeclared_size, n.upload_key, n.created_by, n.subject, n.expire_time, n.expire_time,
        greatest(n.create_time + n.object_retention, n.expire_time),
        greatest(n.create_time + n.metadata_retention, n.create_time + n.object_retention,
            n.expire_time),
        n.shard, n.reserved_bytes, 'pending', n.auto_complete,
        CASE WHEN n.auto_complete THEN {sessions/auto_complete_time} ELSE n.expire_time END
    FROM accepted AS n
    RETURNING s.*
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, request_id)
    SELECT tenant_id, attachment_id, 1, 'pending', concat_ws('/', created_by, subject), request_id
    FROM accepted
), booked AS (
    UPDATE tenant_usage AS u
    SET pending_sessions = u.pending_sessions + a.sessions,
        pending_bytes = u.pending_bytes + a.bytes,
        attachments = u.attachments + a.sessions
    FROM (
        SELECT tenant_id, shard, count(*) AS sessions, sum(reserved_bytes)::bigint AS bytes
        FROM accepted GROUP BY tenant_id, shard
    ) AS a
    WHERE u.tenant_id = a.tenant_id AND u.shard = a.shard
), booked_by_purpose AS (
    INSERT INTO purpose_usage AS v (tenant_id, purpose, shard, attachments)
    SELECT tenant_id, purpose, shard, count(*)
    FROM accepted GROUP BY tenant_id, purpose, shard
    ORDER BY tenant_id, purpose, shard
    ON CONFLICT (tenant_id, purpose, shard)
        DO UPDATE SET attachments = v.attachments + excluded.attachments
)
SELECT
{sessions/columns}
FROM started AS s CROSS JOIN {holds/end} AS held
