-- Locks a hold: until the transaction ends it gets no attachment and no later end.
SELECT hold_id FROM holds WHERE tenant_id = :tenant_id AND hold_id = :hold_id FOR NO KEY UPDATE
