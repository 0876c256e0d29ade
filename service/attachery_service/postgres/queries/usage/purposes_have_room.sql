-- Whether the shard `u` has room for the sessions of one tenant by their purposes. `t.limited` has the
-- purpose of each session that is under such a limit.
(
    t.limited IS NULL OR (
        SELECT bool_and(coalesce(v.attachments <= v.attachments_share - p.sessions, false))
        FROM (
            SELECT purpose, count(*) AS sessions FROM unnest(t.limited) AS purpose GROUP BY purpose
        ) AS p
        LEFT JOIN purpose_usage AS v
            ON v.tenant_id = t.tenant_id AND v.purpose = p.purpose AND v.shard = u.shard
    )
)
