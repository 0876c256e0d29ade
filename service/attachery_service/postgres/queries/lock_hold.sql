-- No more is held by it, and none of that longer, until the transaction ends.
SELECT hold_id FROM holds WHERE tenant_id = $1 AND hold_id = $2 FOR NO KEY UPDATE
