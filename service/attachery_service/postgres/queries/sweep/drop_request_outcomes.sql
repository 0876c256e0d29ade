-- Deletes up to :limit outcomes of request ids older than :age.
WITH old AS MATERIALIZED (
    SELECT tenant_id, method, request_id
    FROM request_outcomes
    WHERE create_time <= now() - :age::interval
    ORDER BY create_time
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM request_outcomes AS o
    USING old
    WHERE o.tenant_id = old.tenant_id AND o.method = old.method AND o.request_id = old.request_id
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
