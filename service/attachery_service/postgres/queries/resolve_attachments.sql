-- The sessions of one tenant among these ids, in one statement however many there are. $3 has for each
-- id the version of the row that the service has cached, or NULL: where that is still the version of a
-- READY one, only its place among the ids and the end of its holds come back.
SELECT k.place, now() AS call_time, s.held_until AS hold_end_time, f.*
FROM unnest($2::uuid[], $3::bigint[]) WITH ORDINALITY AS k (attachment_id, known_version, place)
CROSS JOIN LATERAL (
    SELECT
{session_columns},
{row_version}
    FROM upload_sessions AS s CROSS JOIN {hold_end} AS held
    WHERE s.tenant_id = $1 AND s.attachment_id = k.attachment_id AND {row_is_kept}
) AS s
LEFT JOIN LATERAL (
    SELECT s.*
    WHERE k.known_version IS NULL OR s.version <> k.known_version OR s.effective_state <> 'ready'
) AS f ON true
