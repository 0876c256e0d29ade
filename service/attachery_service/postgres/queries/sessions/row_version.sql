    -- The row version for the cache, and the retention times without the effect of holds.
    s.xmin::text::bigint AS version,
    s.object_purge_time AS own_object_purge_time,
    s.metadata_purge_time AS own_metadata_purge_time
