-- The sessions of one tenant among these ids, in one statement however many there are. $3 has for each
-- id the version of the row that the caller knows, or NULL: where that is still what a READY one looks
-- like, nothing but its place among the ids comes back.
SELECT k.place, now() AS call_time, f.*
FROM unnest($2::uuid[], $3::bigint[]) WITH ORDINALITY AS k (attachment_id, known_version, place)
CROSS JOIN LATERAL (
    SELECT
{session_columns},
        s.xmin::text::bigint AS version
    FROM upload_sessions AS s
    WHERE s.tenant_id = $1 AND s.attachment_id = k.attachment_id AND s.metadata_purge_time > now()
) AS s
LEFT JOIN LATERAL (
    SELECT s.*
    WHERE k.known_version IS NULL OR s.version <> k.known_version OR s.effective_state <> 'ready'
) AS f ON true
