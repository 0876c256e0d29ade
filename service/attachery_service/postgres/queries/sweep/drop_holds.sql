-- Deletes up to :limit holds that ended longer than :age ago, with the lists of their attachments.
WITH old AS MATERIALIZED (
    SELECT tenant_id, hold_id
    FROM holds
    WHERE expire_time <= now() - :age::interval
    ORDER BY expire_time
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM holds AS h
    USING old
    WHERE h.tenant_id = old.tenant_id AND h.hold_id = old.hold_id
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
