(s.metadata_purge_time > now() OR held.end_time > now())
