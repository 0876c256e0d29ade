-- Holds that ended longer ago than $2, and with each the list of what it held.
WITH old AS MATERIALIZED (
    SELECT tenant_id, hold_id
    FROM holds
    WHERE expire_time <= now() - $2::interval
    ORDER BY expire_time
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM holds AS h
    USING old
    WHERE h.tenant_id = old.tenant_id AND h.hold_id = old.hold_id
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
