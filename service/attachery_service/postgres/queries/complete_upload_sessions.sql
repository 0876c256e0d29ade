-- As complete_upload_session.sql, for several sessions of one tenant at once, each with a request id
-- of its own or none. No row for those that are not PENDING, too late, or whose request id is taken.
WITH ending AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $5::uuid[], $6::text[], $7::bytea[], $8::text[], $9::text[], $10::text[], $11::bigint[],
        $12::text[], $13::text[], $14::boolean[]
    ) AS e (
        attachment_id, request_id, payload_digest, checks, sealed_key, sealed_etag, size, checksums,
        detected_content_type, is_claimable
    )
), claimed AS MATERIALIZED (
    -- Always in this order, so that of two statements neither waits for what the other one has.
    SELECT tenant_id, attachment_id
    FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = ANY($5::uuid[]) AND state = 'pending'
        AND expire_time > now() AND booking IS DISTINCT FROM 'released'
    ORDER BY attachment_id
    FOR UPDATE
), counted AS MATERIALIZED (
    -- Counting takes every lock before a request id is, and these have an order too.
    SELECT count(*) AS sessions FROM claimed
), request AS (
    INSERT INTO request_outcomes AS o
        (tenant_id, method, request_id, payload_digest, attachment_id, checks)
    SELECT $1::text, $3::text, e.request_id, e.payload_digest, e.attachment_id, e.checks::jsonb
    FROM counted, claimed JOIN ending AS e USING (attachment_id)
    WHERE e.request_id IS NOT NULL AND counted.sessions > 0
    ORDER BY e.request_id
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = excluded.checks,
            create_time = now()
        WHERE o.create_time <= now() - $4::interval
    RETURNING attachment_id
), changed AS (
    UPDATE upload_sessions AS s
    SET state = 'ready',
        complete_time = now(),
        sealed_key = e.sealed_key,
        sealed_etag = e.sealed_etag,
        size = e.size,
        verified_checksums = e.checksums::jsonb,
        detected_content_type = e.detected_content_type,
        is_claimable = e.is_claimable,
        booking = CASE WHEN s.booking = 'pending' THEN 'stored'::booking END,
        due_time = CASE s.seal WHEN 'copy' THEN now() ELSE s.object_purge_time END,
        revision = s.revision + 1,
        update_time = now()
    FROM claimed AS c JOIN ending AS e USING (attachment_id)
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = $1 AND s.state = 'pending'
        AND (e.request_id IS NULL OR c.attachment_id IN (SELECT attachment_id FROM request))
    RETURNING s.*, e.checks::jsonb AS checks, e.request_id
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, $2, request_id,
        jsonb_build_object('checks', checks)
    FROM changed
), {settle}
SELECT
{session_columns}
FROM changed AS s CROSS JOIN {hold_end} AS held
