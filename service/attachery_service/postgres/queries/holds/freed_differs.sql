-- Whether holds/become_freed.sql would change the session `s`, whose other holds are `others`.
(s.held_until IS DISTINCT FROM others.end_time
            OR s.due_time > greatest(s.object_purge_time, others.end_time))
