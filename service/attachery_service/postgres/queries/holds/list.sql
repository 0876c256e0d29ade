-- A page of the live holds of an owner, on an attachment, or both, after the hold :after, the oldest first.
-- Each branch of `named` uses an index, whatever the other parameter is.
WITH named AS (
    SELECT hold_id FROM holds
    WHERE tenant_id = :tenant_id AND owner = :owner AND owner <> '' AND release_time IS NULL
    UNION ALL
    SELECT hold_id FROM held_attachments
    WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id::uuid AND :owner = ''
)
SELECT
{holds/columns},
    {holds/attachment_count},
    now() AS read_time
FROM named AS n
JOIN holds AS h ON h.tenant_id = :tenant_id AND h.hold_id = n.hold_id
WHERE h.release_time IS NULL AND h.expire_time > now()
    AND h.hold_id > :after::uuid
    AND (:attachment_id::uuid IS NULL OR EXISTS (
        SELECT FROM held_attachments AS a
        WHERE a.tenant_id = :tenant_id AND a.hold_id = h.hold_id AND a.attachment_id = :attachment_id
    ))
ORDER BY h.hold_id
LIMIT :limit
