-- The time at which the service completes the session `n` by itself: before its deadline by a quarter of its
-- lifetime, at most one minute.
(n.expire_time - least(interval '1 minute', (n.expire_time - n.create_time) / 4))
