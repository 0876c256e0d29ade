-- Locks a hold: until this transaction ends, no other call adds attachments to it or extends it. The hold
-- of an owner is locked only while it is live.
SELECT hold_id FROM holds
WHERE tenant_id = :tenant_id AND hold_id = {holds/named}
    AND (:hold_id::uuid IS NOT NULL OR release_time IS NULL AND expire_time > clock_timestamp())
FOR NO KEY UPDATE
