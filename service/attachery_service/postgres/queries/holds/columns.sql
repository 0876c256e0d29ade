-- The columns of the hold `h`.
    h.hold_id, h.owner AS hold_owner, h.created_by AS hold_created_by, h.create_time AS hold_create_time,
    h.expire_time AS hold_expire_time, h.release_time, h.consumed
