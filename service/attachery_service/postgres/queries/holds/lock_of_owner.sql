-- Locks the owner's hold, as holds/lock.sql does, even if it has expired.
SELECT hold_id FROM holds
WHERE tenant_id = :tenant_id AND created_by = :created_by AND owner = :owner AND owner <> '' AND release_time IS NULL
FOR NO KEY UPDATE
