-- What resolve_attachments.sql answers, and in the same moment a hold on those that can be used: a
-- new one, or the owner's, with all that it holds already. None that is `usable` is held unless all
-- are `agreed` on. Agreed and no hold: another call of this owner came between, nothing has changed.
WITH seen AS MATERIALIZED (
    SELECT hold_id, revision FROM holds
    WHERE tenant_id = $1 AND created_by = $6 AND owner = $5 AND owner <> '' AND release_time IS NULL
), {lock_seen_hold}, wanted AS MATERIALIZED (
    SELECT attachment_id, bool_or(asked) AS asked
    FROM (
        SELECT attachment_id, true FROM unnest($2::uuid[]) AS a (attachment_id)
        UNION ALL
        SELECT attachment_id, false FROM members
    ) AS w (attachment_id, asked)
    GROUP BY attachment_id
), {lock_usable}, agreed AS MATERIALIZED (
    -- Counting takes every lock before the hold is changed.
    SELECT FROM usable WHERE asked
    HAVING count(*) > 0 AND (NOT $3::boolean OR count(*) = cardinality($2::uuid[]))
        AND (SELECT count(*) FROM wanted) <= $8::bigint
), renewed AS (
    UPDATE holds AS h
    SET expire_time = greatest(h.expire_time, now() + $7::interval), revision = h.revision + 1
    FROM current AS c, agreed
    WHERE h.tenant_id = $1 AND h.hold_id = c.hold_id
    RETURNING h.*
), taken AS (
    INSERT INTO holds (tenant_id, hold_id, owner, created_by, expire_time)
    SELECT $1::text, $4::uuid, $5, $6, now() + $7::interval
    FROM agreed WHERE NOT EXISTS (SELECT FROM seen)
    -- To change one that is there, it would have to be locked before the attachments.
    ON CONFLICT DO NOTHING
    RETURNING *
), hold AS (
    SELECT * FROM renewed UNION ALL SELECT * FROM taken
), added AS (
    INSERT INTO held_attachments (tenant_id, hold_id, attachment_id)
    SELECT h.tenant_id, h.hold_id, u.attachment_id FROM hold AS h, usable AS u WHERE u.asked
    ON CONFLICT DO NOTHING
    RETURNING 1
), {keep_usable}
SELECT
{session_columns},
{hold_columns},
    (SELECT count(*) FROM members) + (SELECT count(*) FROM added) AS attachment_count,
    (SELECT count(*) FROM wanted) AS wanted,
    EXISTS (SELECT FROM agreed) AS agreed,
    u.attachment_id IS NOT NULL AS usable
FROM (
    SELECT * FROM held
    UNION ALL
    SELECT * FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = ANY($2::uuid[]) AND metadata_purge_time > now()
        AND attachment_id NOT IN (SELECT attachment_id FROM held)
) AS s
JOIN wanted AS w ON w.attachment_id = s.attachment_id AND w.asked
LEFT JOIN usable AS u ON u.attachment_id = s.attachment_id
LEFT JOIN hold AS h ON true
