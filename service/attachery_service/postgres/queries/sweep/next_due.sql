-- The time at which the session `n` is due for the sweep next: the earliest time below that is not NULL.
-- There is always at least one. :longest_upload is the longest duration of an upload, :retry_interval the
-- time after which unfinished work is retried.
least(
    CASE WHEN n.state = 'pending' THEN n.expire_time END,
    CASE
        WHEN n.state <> 'pending' OR NOT n.auto_complete THEN NULL
        WHEN {sessions/auto_complete_time} > now() THEN {sessions/auto_complete_time}
        ELSE now() + :retry_interval::interval
    END,
    -- The target expires, and its reservation is released.
    CASE WHEN n.state <> 'pending' AND n.booking = 'pending' THEN n.upload_url_expire_time END,
    -- Objects are deleted at once, and again when no upload can be in progress any more.
    CASE
        WHEN NOT {sweep/has_dead_objects} THEN NULL
        WHEN n.disposed_time IS NULL THEN now() + :retry_interval::interval
        WHEN n.disposed_time < n.upload_url_expire_time + :longest_upload::interval
            THEN greatest(n.upload_url_expire_time + :longest_upload::interval, now() + :retry_interval::interval)
    END,
    CASE
        WHEN n.state = 'ready' AND n.delete_time IS NULL
            THEN greatest(n.object_purge_time, n.hold_end_time)
    END,
    -- The row contains the objects' keys, so it is kept until the objects are deleted.
    CASE
        WHEN (n.state NOT IN ('pending', 'ready') OR n.delete_time IS NOT NULL)
            AND n.disposed_time >= n.upload_url_expire_time + :longest_upload::interval
            THEN n.metadata_purge_time
    END
)
