-- The columns of the session `s` with the deadlines applied; `held` is the end of its holds.
    s.tenant_id, s.attachment_id, s.revision, s.purpose, s.filename, s.content_type,
    s.declared_size, s.max_size, s.undeclared_size, s.declared_checksums, s.content_id, s.disposition, s.is_inline,
    s.metadata, s.seal, s.upload_key, s.auto_complete, s.is_claimable, s.created_by, s.subject, s.create_time, s.update_time,
    s.expire_time, s.upload_url_expire_time, s.complete_time,
    greatest(s.object_purge_time, held.end_time) AS object_purge_time,
    greatest(s.metadata_purge_time, held.end_time) AS metadata_purge_time,
    held.end_time AS held_until, s.sealed_key, s.sealed_etag, s.size, s.verified_checksums,
    s.detected_content_type, s.failure_reason, s.failure_facts,
    CASE
        WHEN s.state = 'pending' AND s.expire_time <= now() THEN 'expired'
        WHEN s.state = 'ready' AND {sessions/bytes_are_gone} THEN 'deleted'
        ELSE s.state
    END AS effective_state,
    now() AS read_time
