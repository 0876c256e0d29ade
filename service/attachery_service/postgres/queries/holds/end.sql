-- When the last hold on the session `s` ends or ended, as `end_time`, NULL if it has none. `held_until`
-- is a lower bound: a renewed hold may end later, and only its own row shows that. OFFSET 0 has it computed
-- once for all columns that show it, and each hold looked up by index.
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
