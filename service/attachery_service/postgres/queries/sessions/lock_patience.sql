-- Limits the time that a statement of several calls waits for one lock: a lock that blocks one of them
-- must not fail the others. After this time each call runs a statement of its own. A statement of one
-- call, or of a batch, waits as long as the connection's settings allow.
(SELECT CASE WHEN :is_shared THEN set_config('lock_timeout', '250ms', true) END)
