-- The number of attachments of the hold `h`.
CASE
        WHEN h.counted_revision = h.revision THEN h.attachment_count
        -- The previous release changed the hold and did not update its count.
        ELSE (
            SELECT count(*) FROM held_attachments AS a
            WHERE a.tenant_id = h.tenant_id AND a.hold_id = h.hold_id
        )
    END AS attachment_count
