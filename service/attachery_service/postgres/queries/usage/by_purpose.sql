-- The number of attachments of each purpose, from counters `u` of one tenant.
SELECT coalesce(jsonb_object_agg(p.purpose, p.attachments), '{}')
    FROM (
        SELECT u.purpose, sum(u.attachments)::bigint AS attachments
        FROM u GROUP BY u.purpose HAVING sum(u.attachments) <> 0
    ) AS p
