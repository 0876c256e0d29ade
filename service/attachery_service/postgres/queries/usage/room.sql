-- The remaining quota of the session `w`'s tenant; NULL without a limit. Bytes are divided in pieces of the
-- session's size (1 byte for an empty upload): 16 shards with less than one piece each would refuse a
-- session that fits into the total.
w.*, greatest(w.reserved_bytes, 1) AS piece, of_purpose.shards AS purpose_shards,
        w.max_pending_sessions - used.pending_sessions AS sessions,
        w.max_pending_bytes - used.pending_bytes AS pending,
        w.max_stored_bytes - used.pending_bytes - used.stored_bytes AS stored,
        w.max_attachments - used.attachments AS attachments,
        w.max_of_purpose - of_purpose.attachments AS of_purpose
