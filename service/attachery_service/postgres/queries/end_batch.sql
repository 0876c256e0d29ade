-- PENDING and in time becomes READY or FAILED, many at once, as complete_upload_session.sql and
-- fail_upload_session.sql make one, and READY by the service is claimed. No rows: the request id is another
-- batch's, or all or none.
WITH ending AS (
    SELECT *
    FROM unnest(
        $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[],
        $15::text[], $16::text[], $17::text[]
    ) AS e (
        attachment_id, state, checks, sealed_key, sealed_etag, size, checksums,
        detected_content_type, failure_reason, failure_facts
    )
), found AS (
    -- Always in this order, so that of two batches neither waits for what the other one has.
    SELECT s.tenant_id, s.attachment_id, s.state, s.object_purge_time, s.held_until, s.delete_time
    FROM upload_sessions AS s
    WHERE s.tenant_id = $1 AND s.attachment_id = ANY($8::uuid[])
        AND CASE
            WHEN s.attachment_id IN (SELECT attachment_id FROM ending WHERE state = 'claimed')
                THEN s.state = 'ready' AND s.is_claimable AND s.delete_time IS NULL
            ELSE s.state = 'pending' AND s.expire_time > now()
                AND s.booking IS DISTINCT FROM 'released'
        END
    ORDER BY s.attachment_id
    FOR UPDATE
), open AS MATERIALIZED (
    -- Judged after the lock. An attachment whose bytes are gone cannot be claimed.
    SELECT s.tenant_id, s.attachment_id
    FROM found AS s CROSS JOIN {hold_end} AS held
    WHERE s.state = 'pending' OR NOT {bytes_are_gone}
), agreed AS (
    -- Counting takes every lock before the request id is.
    SELECT count(*) AS rows FROM open
    HAVING count(*) > 0 AND (NOT $7::boolean OR count(*) = cardinality($8::uuid[]))
), request AS (
    INSERT INTO request_outcomes AS o (tenant_id, method, request_id, payload_digest, attachment_id)
    SELECT $1::text, $3::text, $4::text || '/', $5::bytea, ($8::uuid[])[1]
    FROM agreed WHERE $4::text IS NOT NULL
    -- A repeat of the batch does what was left of it.
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            create_time = now()
        WHERE o.payload_digest = excluded.payload_digest OR o.create_time <= now() - $6::interval
    RETURNING 1
), changed AS (
    UPDATE upload_sessions AS s
    SET state = e.state::session_state,
        complete_time = CASE WHEN e.state = 'ready' THEN now() END,
        sealed_key = e.sealed_key,
        sealed_etag = e.sealed_etag,
        size = e.size,
        verified_checksums = e.checksums::jsonb,
        detected_content_type = e.detected_content_type,
        failure_reason = e.failure_reason,
        failure_facts = e.failure_facts::jsonb,
        booking = CASE
            WHEN e.state = 'ready' AND s.booking = 'pending' THEN 'stored' ELSE s.booking
        END,
        due_time = CASE
            WHEN e.state = 'ready' AND s.seal <> 'copy' THEN s.object_purge_time ELSE now()
        END,
        revision = s.revision + 1,
        update_time = now()
    FROM agreed, open AS p JOIN ending AS e USING (attachment_id)
    WHERE s.tenant_id = p.tenant_id AND s.attachment_id = p.attachment_id
        AND s.tenant_id = $1 AND e.state <> 'claimed' AND s.state = 'pending'
        AND ($4::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*, e.checks::jsonb AS checks
), claimed AS (
    -- As claim_upload_session.sql.
    UPDATE upload_sessions AS s
    SET is_claimable = false,
        verified_checksums = s.verified_checksums || e.checksums::jsonb,
        revision = s.revision + 1,
        update_time = now()
    FROM agreed, open AS p JOIN ending AS e USING (attachment_id)
    WHERE s.tenant_id = p.tenant_id AND s.attachment_id = p.attachment_id
        AND s.tenant_id = $1 AND e.state = 'claimed' AND s.is_claimable
        AND ($4::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*, e.checks::jsonb AS checks, e.failure_reason AS mismatch
), answered AS (
    SELECT changed.*, failure_reason AS reason, NULL AS cause FROM changed
    UNION ALL
    SELECT claimed.*, 'claim' FROM claimed
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, $2, $4,
        jsonb_strip_nulls(
            jsonb_build_object('cause', cause, 'checks', checks, 'reason', reason))
    FROM answered
), outcome AS (
    INSERT INTO request_outcomes
        (tenant_id, method, request_id, payload_digest, attachment_id, checks)
    SELECT tenant_id, $3, $4 || '/' || attachment_id::text, $5, attachment_id, checks
    FROM answered WHERE $4 IS NOT NULL
), {settle}
SELECT
{session_columns}
FROM answered AS s CROSS JOIN {hold_end} AS held
