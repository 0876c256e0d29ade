-- Locks a hold: until this transaction ends, no other call adds attachments to it or extends it.
SELECT hold_id FROM holds WHERE tenant_id = :tenant_id AND hold_id = :hold_id FOR NO KEY UPDATE
