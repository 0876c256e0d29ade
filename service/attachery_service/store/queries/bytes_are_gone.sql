(s.delete_time IS NOT NULL OR greatest(s.object_purge_time, s.held_until) <= now())
