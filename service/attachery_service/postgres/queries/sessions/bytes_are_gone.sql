(s.delete_time IS NOT NULL OR greatest(s.object_purge_time, held.end_time) <= now())
