-- The new values of a session `s` whose bytes are deleted now.
delete_time = now(),
        object_purge_time = least(s.object_purge_time, now()),
        held_until = NULL,
        disposed_time = NULL,
        due_time = now(),
        booking = CASE WHEN s.booking IS NOT NULL THEN 'released'::booking END,
        revision = s.revision + 1,
        update_time = now()
