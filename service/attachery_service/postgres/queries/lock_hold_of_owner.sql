-- As lock_hold.sql, for the owner's hold.
SELECT hold_id FROM holds
WHERE tenant_id = $1 AND created_by = $2 AND owner = $3 AND owner <> '' AND release_time IS NULL
FOR NO KEY UPDATE
