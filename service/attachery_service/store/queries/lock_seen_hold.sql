-- The hold as `seen`, locked, and what it holds. None if it was changed since this statement began:
-- then it may hold what this statement cannot see.
current AS MATERIALIZED (
    SELECT h.*
    FROM seen JOIN holds AS h
        ON h.tenant_id = $1 AND h.hold_id = seen.hold_id AND h.revision = seen.revision
    FOR NO KEY UPDATE OF h
), members AS MATERIALIZED (
    SELECT m.attachment_id
    FROM current AS c JOIN held_attachments AS m ON m.tenant_id = $1 AND m.hold_id = c.hold_id
)
