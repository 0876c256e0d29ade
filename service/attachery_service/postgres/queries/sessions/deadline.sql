-- The requested deadline of the session `w`, absolute or as a time to live.
coalesce(w.wanted_expire_time, now() + w.ttl)
