-- The holds on the session `s`, which is locked, that can last beyond now. A hold that another call is
-- changing may be renewed, so it counts as lasting. The others cannot be renewed until this transaction
-- ends.
    SELECT FROM held_attachments AS a
    LEFT JOIN LATERAL (
        SELECT h.expire_time, h.release_time
        FROM holds AS h
        WHERE h.tenant_id = a.tenant_id AND h.hold_id = a.hold_id
        FOR SHARE SKIP LOCKED
    ) AS l ON true
    WHERE a.tenant_id = s.tenant_id AND a.attachment_id = s.attachment_id
        AND coalesce(least(l.expire_time, l.release_time), 'infinity') > now()
