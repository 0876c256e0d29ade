-- One recount of a tenant at a time: two at once would add what is lacking twice.
SELECT pg_advisory_xact_lock(hashtextextended('attachery recount ' || $1::text, 0))
