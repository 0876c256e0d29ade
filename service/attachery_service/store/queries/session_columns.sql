    s.tenant_id, s.attachment_id, s.revision, s.purpose, s.filename, s.content_type,
    s.declared_size, s.max_size, s.declared_checksums, s.content_id, s.disposition, s.metadata,
    s.seal, s.upload_key, s.created_by, s.create_time, s.update_time, s.expire_time,
    s.upload_url_expire_time, s.complete_time, s.object_purge_time, s.metadata_purge_time,
    s.sealed_key, s.sealed_etag, s.size, s.verified_checksums, s.detected_content_type,
    s.failure_reason, s.failure_facts,
    CASE WHEN s.state = 'pending' AND s.expire_time <= now() THEN 'expired' ELSE s.state END
        AS effective_state,
    now() AS read_time
