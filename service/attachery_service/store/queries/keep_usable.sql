-- No indexed column changes: the new versions stay beside the old ones.
held AS (
    UPDATE upload_sessions AS s
    SET held_until = greatest(s.held_until, h.expire_time),
        metadata_purge_time = greatest(s.metadata_purge_time, h.expire_time)
    FROM hold AS h, usable AS u
    WHERE s.tenant_id = $1 AND s.attachment_id = u.attachment_id
    RETURNING s.*
)
