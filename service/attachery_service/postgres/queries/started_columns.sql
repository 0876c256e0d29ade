        tenant_id, attachment_id, purpose, filename, content_type, declared_size, max_size,
        declared_checksums, content_id, disposition, metadata, seal, upload_key, created_by,
        expire_time, upload_url_expire_time, object_purge_time, metadata_purge_time,
        usage_shard, reserved_bytes, booking, auto_complete, is_inline, due_time
