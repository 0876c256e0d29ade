-- A hold that is neither released nor over ends later, any other is answered as it is. No columns of
-- a hold: it was changed meanwhile, nothing has been done.
WITH seen AS MATERIALIZED (
    SELECT hold_id, revision FROM holds WHERE tenant_id = $1 AND hold_id = $2
), {lock_seen_hold}, wanted AS MATERIALIZED (
    SELECT m.attachment_id FROM members AS m, current AS c
    WHERE c.release_time IS NULL AND c.expire_time > now()
), {lock_usable}, hold AS (
    UPDATE holds AS h
    SET expire_time = greatest(h.expire_time, now() + $3::interval), revision = h.revision + 1
    FROM current AS c, (SELECT count(*) FROM usable) AS locked_before
    WHERE h.tenant_id = $1 AND h.hold_id = c.hold_id
        AND c.release_time IS NULL AND c.expire_time > now()
    RETURNING h.*
), {keep_usable}
SELECT
{hold_columns},
    (SELECT count(*) FROM members) AS attachment_count,
    now() AS read_time
FROM seen
LEFT JOIN (
    SELECT * FROM hold UNION ALL SELECT * FROM current WHERE NOT EXISTS (SELECT FROM hold)
) AS h ON true
