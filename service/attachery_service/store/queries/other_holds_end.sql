greatest(
        -- When the last hold on the session `s` but $2 ends, NULL if no other lives. Of those never
        -- renewed the latest suffices: the index has it first.
        (
            SELECT h.expire_time
            FROM held_attachments AS o
            CROSS JOIN LATERAL (
                SELECT * FROM holds AS h
                WHERE h.tenant_id = $1 AND h.hold_id = o.hold_id
                    AND h.release_time IS NULL AND h.expire_time > now()
                OFFSET 0
            ) AS h
            WHERE o.tenant_id = $1 AND o.attachment_id = s.attachment_id
                AND o.end_time > now() AND o.hold_id <> $2
            ORDER BY o.end_time DESC
            LIMIT 1
        ),
        (
            SELECT max(h.expire_time)
            FROM held_attachments AS o
            CROSS JOIN LATERAL (
                SELECT * FROM holds AS h
                WHERE h.tenant_id = $1 AND h.hold_id = o.hold_id
                    AND h.release_time IS NULL AND h.expire_time > now()
                OFFSET 0
            ) AS h
            WHERE o.tenant_id = $1 AND o.attachment_id = s.attachment_id
                AND o.end_time IS NULL AND o.hold_id <> $2
        )
    )
