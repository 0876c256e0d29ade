-- The number of attachments of one purpose, from its counters `v`.
count(*) AS shards, coalesce(sum(v.attachments), 0)::bigint AS attachments
