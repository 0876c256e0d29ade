coalesce(w.wanted_expire_time, now() + w.ttl)
