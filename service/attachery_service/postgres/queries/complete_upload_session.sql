-- PENDING and in time becomes READY. No row: not PENDING, too late, or the request id is taken.
{claim_pending}, changed AS (
    UPDATE upload_sessions AS s
    SET state = 'ready',
        complete_time = now(),
        sealed_key = $9,
        sealed_etag = $10,
        size = $11,
        verified_checksums = $12::jsonb,
        detected_content_type = $13,
        is_claimable = $14::boolean,
        booking = CASE WHEN s.booking = 'pending' THEN 'stored'::booking END,
        due_time = CASE s.seal WHEN 'copy' THEN now() ELSE s.object_purge_time END,
        revision = s.revision + 1,
        update_time = now()
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = $1 AND s.state = 'pending'
        AND ($5::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, $3, $5, jsonb_build_object('checks', $8::jsonb) FROM changed
), {settle}
SELECT
{session_columns}
FROM changed AS s CROSS JOIN {hold_end} AS held
