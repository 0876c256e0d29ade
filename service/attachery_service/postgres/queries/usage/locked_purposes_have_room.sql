-- The condition of purposes_have_room.sql under the lock of the shard `u`: FOR UPDATE reads the current rows,
-- not those of the statement's snapshot.
(
    t.limited IS NULL OR (
        SELECT bool_and(coalesce(v.attachments <= v.attachments_share - p.sessions, false))
        FROM (
            SELECT purpose, count(*) AS sessions FROM unnest(t.limited) AS purpose GROUP BY purpose
        ) AS p
        LEFT JOIN LATERAL (
            SELECT * FROM purpose_usage AS v
            WHERE v.tenant_id = t.tenant_id AND v.purpose = p.purpose AND v.shard = u.shard
            FOR UPDATE
        ) AS v ON true
    )
)
