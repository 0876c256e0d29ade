-- When the session `n` needs the sweep next; $2 is the longest an upload takes, $3 the time after
-- which what was tried is tried again. The least that applies, and always one does.
least(
    CASE WHEN n.state = 'pending' THEN n.expire_time END,
    CASE
        WHEN n.state <> 'pending' OR NOT n.auto_complete THEN NULL
        WHEN {auto_complete_time} > now() THEN {auto_complete_time}
        ELSE now() + $3::interval
    END,
    -- The target is dead: what it reserved is given back.
    CASE WHEN n.state <> 'pending' AND n.booking = 'pending' THEN n.upload_url_expire_time END,
    -- Objects are deleted at once, and again when no upload can be under way any more.
    CASE
        WHEN NOT {has_dead_objects} THEN NULL
        WHEN n.disposed_time IS NULL THEN now() + $3::interval
        WHEN n.disposed_time < n.upload_url_expire_time + $2::interval
            THEN greatest(n.upload_url_expire_time + $2::interval, now() + $3::interval)
    END,
    CASE
        WHEN n.state = 'ready' AND n.delete_time IS NULL
            THEN greatest(n.object_purge_time, n.hold_end_time)
    END,
    -- The row knows of the objects; it stays until they are gone.
    CASE
        WHEN (n.state NOT IN ('pending', 'ready') OR n.delete_time IS NOT NULL)
            AND n.disposed_time >= n.upload_url_expire_time + $2::interval
            THEN n.metadata_purge_time
    END
)
