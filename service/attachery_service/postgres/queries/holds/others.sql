-- The latest end of all holds on the session `s` except :hold_id, as `end_time`; NULL if there is none. It
-- includes expired holds that were not released, because their owner can still renew them: with
-- `held_until` in the past, reads and the sweep check the hold rows; with NULL they do not. The end is
-- read from each hold, because the previous release extends a hold and leaves
-- `held_attachments.end_time` unchanged.
LATERAL (
    SELECT max(h.expire_time) AS end_time
    FROM held_attachments AS o
    CROSS JOIN LATERAL (
        SELECT h.expire_time
        FROM holds AS h
        WHERE h.tenant_id = :tenant_id AND h.hold_id = o.hold_id AND h.release_time IS NULL
        OFFSET 0
    ) AS h
    WHERE o.tenant_id = :tenant_id AND o.attachment_id = s.attachment_id AND o.hold_id <> :hold_id
    OFFSET 0
)
