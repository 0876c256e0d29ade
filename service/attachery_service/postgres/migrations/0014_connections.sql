-- Sessions that a connection token has started, and the revocations of such tokens.

-- NULL: started with another credential, as by the previous release.
ALTER TABLE upload_sessions ADD COLUMN subject text;

CREATE TABLE connection_revocations (
    tenant_id   text        NOT NULL,
    subject     text        NOT NULL,
    -- Tokens issued until then are invalid.
    revoke_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, subject)
);

-- Of all tenants, for the sweep.
CREATE INDEX connection_revocations_by_time ON connection_revocations (revoke_time);
