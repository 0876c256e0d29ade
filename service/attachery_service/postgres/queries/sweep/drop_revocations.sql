-- Deletes up to :limit revocations older than :age, which every token that they concern has outlived.
WITH old AS MATERIALIZED (
    SELECT tenant_id, subject
    FROM connection_revocations
    WHERE revoke_time <= now() - :age::interval
    ORDER BY revoke_time
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM connection_revocations AS r
    USING old
    WHERE r.tenant_id = old.tenant_id AND r.subject = old.subject
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
