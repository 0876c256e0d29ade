-- Sessions with their history and request outcomes, and the API keys.

CREATE TYPE session_state AS ENUM ('pending', 'ready', 'failed', 'cancelled', 'expired');
CREATE TYPE disposition AS ENUM ('attachment', 'inline');
CREATE TYPE seal AS ENUM ('write_once', 'copy');

-- A session and the attachment it becomes are one row. The tenant leads every key, so that the
-- tables can be distributed by it.
CREATE TABLE upload_sessions (
    tenant_id              text          NOT NULL,
    attachment_id          uuid          NOT NULL,
    state                  session_state NOT NULL DEFAULT 'pending',
    revision               integer       NOT NULL DEFAULT 1 CHECK (revision > 0),
    purpose                text          NOT NULL,
    filename               text          NOT NULL,
    content_type           text          NOT NULL,
    declared_size          bigint        CHECK (declared_size BETWEEN 1 AND max_size),
    max_size               bigint        NOT NULL CHECK (max_size > 0),
    declared_checksums     jsonb         NOT NULL,
    content_id             text,
    disposition            disposition   NOT NULL,
    metadata               jsonb         NOT NULL,
    seal                   seal          NOT NULL,
    upload_key             text          NOT NULL,
    created_by             text          NOT NULL,
    create_time            timestamptz   NOT NULL DEFAULT now(),
    update_time            timestamptz   NOT NULL DEFAULT now(),
    expire_time            timestamptz   NOT NULL CHECK (expire_time > create_time),
    upload_url_expire_time timestamptz   NOT NULL,
    complete_time          timestamptz,
    object_purge_time      timestamptz   NOT NULL,
    metadata_purge_time    timestamptz   NOT NULL,
    sealed_key             text,
    sealed_etag            text,
    size                   bigint        CHECK (size BETWEEN 1 AND max_size),
    verified_checksums     jsonb         NOT NULL DEFAULT '{}',
    detected_content_type  text,
    failure_reason         text,
    failure_facts          jsonb,
    PRIMARY KEY (tenant_id, attachment_id),
    -- What is READY names exactly one object, and nothing else names any.
    CONSTRAINT ready_is_sealed CHECK (
        (state = 'ready') = (complete_time IS NOT NULL)
        AND (state = 'ready') = (sealed_key IS NOT NULL)
        AND (state = 'ready') = (sealed_etag IS NOT NULL)
        AND (state = 'ready') = (size IS NOT NULL)
    ),
    CONSTRAINT failed_has_a_reason CHECK (
        (state = 'failed') = (failure_reason IS NOT NULL)
        AND (state = 'failed') = (failure_facts IS NOT NULL)
    ),
    CONSTRAINT bytes_outlive_the_session CHECK (object_purge_time >= expire_time),
    CONSTRAINT the_row_outlives_the_bytes CHECK (metadata_purge_time >= object_purge_time)
);

-- One row per transition, never changed: who, when, and why.
CREATE TABLE session_events (
    tenant_id     text          NOT NULL,
    attachment_id uuid          NOT NULL,
    revision      integer       NOT NULL,
    state         session_state NOT NULL,
    event_time    timestamptz   NOT NULL DEFAULT now(),
    actor         text          NOT NULL,
    request_id    text,
    facts         jsonb         NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, attachment_id, revision)
);

-- What a request id came to, for 24 hours.
CREATE TABLE request_outcomes (
    tenant_id      text        NOT NULL,
    method         text        NOT NULL,
    request_id     text        NOT NULL,
    payload_digest bytea       NOT NULL,
    attachment_id  uuid        NOT NULL,
    checks         jsonb       NOT NULL DEFAULT '[]',
    create_time    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, method, request_id)
);

-- Credentials: never the secret, only its SHA-256. tenants NULL means every tenant.
CREATE TABLE api_keys (
    key_id        text        NOT NULL PRIMARY KEY,
    name          text        NOT NULL,
    secret_digest bytea       NOT NULL,
    tenants       text[],
    scopes        text[]      NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    revoke_time   timestamptz
);
