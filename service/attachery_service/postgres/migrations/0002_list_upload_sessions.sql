-- Walks a tenant's sessions from the newest on, and resumes anywhere.

CREATE INDEX upload_sessions_by_create_time
    ON upload_sessions (tenant_id, create_time DESC, attachment_id DESC);
