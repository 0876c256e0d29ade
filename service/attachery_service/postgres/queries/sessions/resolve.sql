-- Reads the sessions of one tenant with these ids. :versions contains the cached row version of each id, or
-- NULL. If a READY row still has that version, only its position among the ids and the end of its holds are
-- returned.
SELECT k.place, now() AS call_time, s.held_until AS hold_end_time, f.*
FROM unnest(:attachment_ids::uuid[], :versions::bigint[]) WITH ORDINALITY AS k (attachment_id, known_version, place)
CROSS JOIN LATERAL (
    SELECT
{sessions/columns},
{sessions/row_version}
    FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = k.attachment_id AND {sessions/row_is_kept}
) AS s
LEFT JOIN LATERAL (
    SELECT s.*
    WHERE k.known_version IS NULL OR s.version <> k.known_version OR s.effective_state <> 'ready'
) AS f ON true
