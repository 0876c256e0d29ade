-- The uploader's Complete of a session that the service has made READY. No row: it was claimed before,
-- its bytes are gone, or the request id is taken. $9 has the digests that this Complete computed,
-- $10 the reason, if it is answered with a mismatch.
WITH found AS MATERIALIZED (
    SELECT * FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = $2 AND state = 'ready' AND is_claimable
    FOR UPDATE
), claimed AS MATERIALIZED (
    SELECT s.tenant_id, s.attachment_id
    FROM found AS s CROSS JOIN {hold_end} AS held
    WHERE NOT {bytes_are_gone}
), {take_request}, changed AS (
    UPDATE upload_sessions AS s
    SET is_claimable = false,
        verified_checksums = s.verified_checksums || $9::jsonb,
        revision = s.revision + 1,
        update_time = now()
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = $1 AND s.is_claimable
        AND ($5::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*
), history AS (
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT tenant_id, attachment_id, revision, state, $3, $5, jsonb_strip_nulls(
        jsonb_build_object('cause', 'claim', 'checks', $8::jsonb, 'reason', $10::text))
    FROM changed
)
SELECT
{session_columns}
FROM changed AS s CROSS JOIN {hold_end} AS held
