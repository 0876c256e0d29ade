    -- What a cached row goes by, and its own times, which its holds may move.
    s.xmin::text::bigint AS version,
    s.object_purge_time AS own_object_purge_time,
    s.metadata_purge_time AS own_metadata_purge_time
