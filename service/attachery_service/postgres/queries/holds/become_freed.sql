-- The new values of a session `s` that :hold_id holds no longer: it is kept until its other holds and its
-- retention end.
(held_until, metadata_purge_time, due_time) = (
        SELECT others.end_time, greatest(s.metadata_purge_time, others.end_time),
            least(s.due_time, greatest(s.object_purge_time, others.end_time))
        FROM {holds/others} AS others
    )
