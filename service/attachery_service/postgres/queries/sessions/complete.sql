-- Stores the outcomes of uploads, of any tenants: a PENDING session before its deadline becomes READY or
-- FAILED. A session that a worker has made READY is `claimed` by the uploader's own Complete: it stays
-- READY. Returns no row for a session in any other state, or if the request id is already in use.
--
-- The sessions of an atomic batch change together or not at all. A batch has a request id of its own,
-- `batch_id`, and stores the outcome of each session under an `outcome_id`: the batch's request id and the
-- attachment id.
WITH wanted AS MATERIALIZED (
    SELECT w.*
    FROM {sessions/lock_patience} AS patience, ROWS FROM (json_to_recordset(:outcomes) AS (
        tenant_id text, attachment_id uuid, outcome text, actor text, method text, request_id text,
        outcome_id text, batch_id text, is_atomic boolean, payload_digest bytea, checks jsonb,
        sealed_key text, sealed_etag text, size bigint, checksums jsonb,
        detected_content_type text, is_claimable boolean, reason text, facts jsonb
    )) WITH ORDINALITY AS w (
        tenant_id, attachment_id, outcome, actor, method, request_id, outcome_id, batch_id,
        is_atomic, payload_digest, checks, sealed_key, sealed_etag, size, checksums,
        detected_content_type, is_claimable, reason, facts, place
    )
    -- With this range the planner estimates one row, without it a hundred. With one row it reads the
    -- tables below by index, even in a plan made while they were empty.
    WHERE w.place BETWEEN 1 AND 1000
), found AS MATERIALIZED (
    -- Every statement that waits for several rows locks them in this order, which prevents deadlocks.
    SELECT w.*, s.state, s.object_purge_time, s.held_until, s.delete_time
    FROM (SELECT * FROM wanted ORDER BY tenant_id, attachment_id) AS w
    CROSS JOIN LATERAL (
        SELECT * FROM upload_sessions AS s
        WHERE s.tenant_id = w.tenant_id AND s.attachment_id = w.attachment_id
            AND CASE w.outcome
                WHEN 'claimed'
                    THEN s.state = 'ready' AND s.is_claimable AND s.delete_time IS NULL
                -- booking = 'released': a transaction with a later now() has already expired
                -- this session.
                ELSE s.state = 'pending' AND s.expire_time > now()
                    AND s.booking IS DISTINCT FROM 'released'
            END
        FOR UPDATE
    ) AS s
), open AS MATERIALIZED (
    -- Checked after locking: an attachment without bytes cannot be claimed.
    SELECT s.*, held.end_time AS hold_end_time FROM found AS s CROSS JOIN {holds/end} AS held
    WHERE s.state = 'pending' OR NOT {sessions/bytes_are_gone}
), agreed AS MATERIALIZED (
    -- The count, which is evaluated once and first, takes every lock before the first request id is
    -- taken. Without a batch `is_atomic` is NULL.
    SELECT o.*
    FROM open AS o
    WHERE (SELECT count(*) FROM open) = (SELECT count(*) FROM wanted) OR o.is_atomic IS NOT TRUE
), batch AS (
    INSERT INTO request_outcomes AS o (tenant_id, method, request_id, payload_digest, attachment_id)
    SELECT tenant_id, method, batch_id, payload_digest, attachment_id
    FROM agreed WHERE batch_id IS NOT NULL
    LIMIT 1
    -- A retry of the batch completes its remaining sessions.
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            create_time = now()
        WHERE o.payload_digest = excluded.payload_digest
            OR o.create_time <= now() - :request_lifetime::interval
    RETURNING 1
), request AS (
    INSERT INTO request_outcomes AS o
        (tenant_id, method, request_id, payload_digest, attachment_id, checks)
    SELECT tenant_id, method, outcome_id, payload_digest, attachment_id, checks
    FROM agreed
    WHERE outcome_id IS NOT NULL AND (batch_id IS NULL OR EXISTS (SELECT FROM batch))
    ORDER BY tenant_id, method, outcome_id
    ON CONFLICT (tenant_id, method, request_id) DO UPDATE
        SET payload_digest = excluded.payload_digest,
            attachment_id = excluded.attachment_id,
            checks = excluded.checks,
            create_time = now()
        WHERE o.create_time <= now() - :request_lifetime::interval
    RETURNING o.tenant_id, o.attachment_id
), changed AS (
    UPDATE upload_sessions AS s
    SET state = CASE e.outcome WHEN 'claimed' THEN s.state ELSE e.outcome::session_state END,
        complete_time = CASE e.outcome WHEN 'ready' THEN now() ELSE s.complete_time END,
        sealed_key = coalesce(e.sealed_key, s.sealed_key),
        sealed_etag = coalesce(e.sealed_etag, s.sealed_etag),
        size = coalesce(e.size, s.size),
        verified_checksums = s.verified_checksums || e.checksums,
        detected_content_type = coalesce(e.detected_content_type, s.detected_content_type),
        failure_reason = CASE e.outcome WHEN 'failed' THEN e.reason END,
        failure_facts = e.facts,
        is_claimable = e.is_claimable,
        booking = CASE
            WHEN e.outcome = 'ready' AND s.booking = 'pending' THEN 'stored' ELSE s.booking
        END,
        due_time = CASE
            WHEN e.outcome = 'claimed' THEN s.due_time
            WHEN e.outcome = 'ready' AND s.seal <> 'copy' THEN s.object_purge_time
            ELSE now()
        END,
        revision = s.revision + 1,
        update_time = now()
    FROM agreed AS e
    WHERE s.tenant_id = e.tenant_id AND s.attachment_id = e.attachment_id AND s.state = e.state
        AND (
            e.outcome_id IS NULL
            OR (e.tenant_id, e.attachment_id) IN (SELECT tenant_id, attachment_id FROM request)
        )
    RETURNING s.*, e.outcome, e.actor, e.request_id, e.checks, e.reason, e.hold_end_time
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, actor, request_id,
        jsonb_strip_nulls(jsonb_build_object(
            'cause', CASE outcome WHEN 'claimed' THEN 'claim' END,
            'checks', checks, 'reason', reason))
    FROM changed
), {usage/settle}
SELECT
{sessions/columns}
FROM changed AS s CROSS JOIN LATERAL (SELECT s.hold_end_time AS end_time) AS held
