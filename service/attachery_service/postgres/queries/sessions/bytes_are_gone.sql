-- Whether the bytes of the session `s` were deleted, or their retention and their last hold have ended.
(s.delete_time IS NOT NULL OR greatest(s.object_purge_time, held.end_time) <= now())
