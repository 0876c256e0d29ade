    -- The version of a cached row, and its own times, without the effect of its holds.
    s.xmin::text::bigint AS version,
    s.object_purge_time AS own_object_purge_time,
    s.metadata_purge_time AS own_metadata_purge_time
