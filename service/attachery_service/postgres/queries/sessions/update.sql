-- Updates the fields of a READY session that :paths names. Returns no row if it is not READY, has another
-- revision than :expected_revision, would lose its bytes at once, or if the request id is already in use. If
-- all new values are the stored ones, only the request id is stored, and the row is returned as it is.
WITH found AS MATERIALIZED (
    SELECT *
    FROM upload_sessions
    WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id AND state = 'ready' AND delete_time IS NULL
        AND revision = coalesce(:expected_revision::bigint, revision)
        AND coalesce(:object_purge_time::timestamptz > now(), true)
    FOR UPDATE
), claimed AS MATERIALIZED (
    -- The session with its new values; the names of the fields that change.
    SELECT s.tenant_id, s.attachment_id, named.filename, named.content_id, named.metadata, shown.disposition,
        shown.is_inline, kept.object_purge_time, kept.metadata_purge_time, held.end_time AS hold_end_time,
        array_remove(ARRAY[
            CASE WHEN named.filename <> s.filename THEN 'filename' END,
            CASE WHEN named.content_id IS DISTINCT FROM s.content_id THEN 'content_id' END,
            CASE WHEN shown.disposition <> s.disposition THEN 'disposition' END,
            CASE WHEN shown.is_inline <> stored.is_inline THEN 'is_inline' END,
            CASE WHEN named.metadata <> s.metadata THEN 'metadata' END,
            CASE WHEN kept.object_purge_time <> s.object_purge_time THEN 'object_retention' END,
            CASE
                WHEN :metadata_purge_time::timestamptz IS NOT NULL
                    AND kept.metadata_purge_time <> greatest(s.metadata_purge_time, held.end_time)
                    THEN 'metadata_retention'
            END
        ], NULL) AS changed_fields
    FROM found AS s
    CROSS JOIN {holds/end} AS held
    CROSS JOIN LATERAL (
        SELECT coalesce(:filename::text, s.filename) AS filename,
            CASE WHEN 'content_id' = ANY (:paths::text[]) THEN :content_id::text ELSE s.content_id END AS content_id,
            coalesce(:metadata::jsonb, s.metadata) AS metadata
    ) AS named
    CROSS JOIN LATERAL (
        SELECT coalesce(s.is_inline, s.disposition = 'inline') AS is_inline
    ) AS stored
    CROSS JOIN LATERAL (
        SELECT disposition, CASE
                WHEN 'is_inline' = ANY (:paths) THEN coalesce(:is_inline::boolean, disposition = 'inline')
                ELSE stored.is_inline
            END AS is_inline
        FROM (SELECT CASE
            WHEN 'disposition' <> ALL (:paths) THEN s.disposition
            WHEN named.content_id IS NULL THEN coalesce(:disposition::disposition, 'attachment')
            ELSE coalesce(:disposition, 'inline')
        END) AS chosen (disposition)
    ) AS shown
    CROSS JOIN LATERAL (
        -- The row outlives the bytes, and the holds on them.
        SELECT object_purge_time, greatest(
            coalesce(:metadata_purge_time, s.metadata_purge_time), object_purge_time, held.end_time
        ) AS metadata_purge_time
        FROM (SELECT coalesce(:object_purge_time, s.object_purge_time)) AS own (object_purge_time)
    ) AS kept
    WHERE NOT {sessions/bytes_are_gone}
), {sessions/take_request}, changed AS (
    UPDATE upload_sessions AS s
    SET filename = c.filename,
        content_id = c.content_id,
        disposition = c.disposition,
        is_inline = c.is_inline,
        metadata = c.metadata,
        object_purge_time = c.object_purge_time,
        metadata_purge_time = c.metadata_purge_time,
        -- A time too early costs one look of the sweep, which then waits for the new one.
        due_time = least(s.due_time, greatest(c.object_purge_time, c.hold_end_time)),
        revision = s.revision + 1,
        update_time = now()
    FROM claimed AS c
    WHERE s.tenant_id = c.tenant_id AND s.attachment_id = c.attachment_id
        AND s.tenant_id = :tenant_id AND s.delete_time IS NULL AND c.changed_fields <> '{}'
        AND (:request_id::text IS NULL OR EXISTS (SELECT FROM request))
    RETURNING s.*
), history AS (
    -- The names of the fields alone: their values end with the row.
    INSERT INTO session_events
        (tenant_id, attachment_id, revision, state, actor, request_id, facts)
    SELECT s.tenant_id, s.attachment_id, s.revision, s.state, :actor, :request_id,
        jsonb_build_object('cause', 'update', 'changedFields', c.changed_fields)
    FROM changed AS s, claimed AS c
)
SELECT
{sessions/columns}
FROM (
    SELECT * FROM changed
    UNION ALL
    SELECT s.* FROM found AS s, claimed AS c
    WHERE c.changed_fields = '{}' AND (:request_id::text IS NULL OR EXISTS (SELECT FROM request))
) AS s CROSS JOIN {holds/end} AS held
