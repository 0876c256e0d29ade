-- The holds on the locked session `s` that can last beyond now. A hold locked by another call may be
-- renewed, so it counts as lasting. All others are locked here and cannot be renewed until this
-- transaction ends.
    SELECT FROM held_attachments AS a
    LEFT JOIN LATERAL (
        SELECT h.expire_time, h.release_time
        FROM holds AS h
        WHERE h.tenant_id = a.tenant_id AND h.hold_id = a.hold_id
        FOR SHARE SKIP LOCKED
    ) AS l ON true
    WHERE a.tenant_id = s.tenant_id AND a.attachment_id = s.attachment_id
        AND coalesce(least(l.expire_time, l.release_time), 'infinity') > now()
