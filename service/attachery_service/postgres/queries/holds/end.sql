-- The end of the last hold on the session `s` as `end_time`, past or future; NULL without a hold.
-- `held_until` is a lower bound: a renewed hold may end later, and only the hold's own row has that time.
-- OFFSET 0 makes PostgreSQL compute the time once for all columns that use it, and look up each hold by
-- index.
LATERAL (
    SELECT CASE WHEN s.held_until IS NOT NULL THEN greatest(s.held_until, (
        SELECT max(h.end_time)
        FROM held_attachments AS a
        CROSS JOIN LATERAL (
            SELECT least(h.expire_time, h.release_time) AS end_time
            FROM holds AS h
            WHERE h.tenant_id = a.tenant_id AND h.hold_id = a.hold_id
            OFFSET 0
        ) AS h
        WHERE a.tenant_id = s.tenant_id AND a.attachment_id = s.attachment_id
            AND a.end_time IS NULL
    )) END AS end_time
    OFFSET 0
)
