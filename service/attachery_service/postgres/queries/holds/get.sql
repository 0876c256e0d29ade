-- Reads a hold, and a page of the ids of its attachments, the oldest first. An owner's hold only while it is
-- live.
SELECT
{holds/columns},
    {holds/attachment_count},
    now() AS read_time,
    ARRAY(
        SELECT a.attachment_id FROM held_attachments AS a
        WHERE a.tenant_id = h.tenant_id AND a.hold_id = h.hold_id AND h.release_time IS NULL
            AND a.attachment_id > :after::uuid
        ORDER BY a.attachment_id
        LIMIT :limit
    ) AS attachment_ids
FROM holds AS h
WHERE h.tenant_id = :tenant_id AND h.hold_id = {holds/named}
    AND (:hold_id::uuid IS NOT NULL OR h.release_time IS NULL AND h.expire_time > now())
