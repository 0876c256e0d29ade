-- Recomputes `held_until` of a locked session from its hold rows, as holds/release.sql does.
UPDATE upload_sessions AS s
SET held_until = held.end_time,
    metadata_purge_time = greatest(s.metadata_purge_time, held.end_time),
    due_time = now()
FROM (
    SELECT max(h.expire_time) AS end_time
    FROM held_attachments AS a JOIN holds AS h USING (tenant_id, hold_id)
    WHERE a.tenant_id = :tenant_id AND a.attachment_id = :attachment_id
        AND h.release_time IS NULL
) AS held
WHERE s.tenant_id = :tenant_id AND s.attachment_id = :attachment_id AND s.state = 'ready' AND s.delete_time IS NULL
