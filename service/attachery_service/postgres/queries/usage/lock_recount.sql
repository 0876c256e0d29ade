-- Serializes the recounts of a tenant: two concurrent ones would add the difference twice.
SELECT pg_advisory_xact_lock(hashtextextended('attachery recount ' || :tenant_id::text, 0))
