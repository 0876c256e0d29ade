-- The latest end of all holds on the session `s` but :hold_id, as `end_time`, NULL if there is none. It
-- includes holds that expired without being released, because their owner can still renew them: a
-- `held_until` in the past has reads and the sweep look at the hold, NULL has not. It reads the end from
-- every hold, because the previous release extends a hold without its `held_attachments.end_time`.
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
