-- Whether the remaining quota `room` is enough for one session, and all shards to divide it among exist.
(
    room.is_in_range
    AND coalesce(least(room.sessions, room.attachments, room.of_purpose) >= 1, true)
    AND coalesce(least(room.pending, room.stored) >= room.reserved_bytes, true)
    AND (room.max_of_purpose IS NULL OR room.purpose_shards = 16)
)
