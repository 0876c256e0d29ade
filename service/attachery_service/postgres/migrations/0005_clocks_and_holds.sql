-- When each session needs looking at next, what keeps its bytes, and what became of them.

-- In the history alone: a session whose bytes are gone stays READY at rest, with a delete_time, so
-- that the release before can read it, to which it is READY and past its object_purge_time.
ALTER TYPE session_state ADD VALUE 'deleted';

ALTER TABLE upload_sessions
    -- The sweep looks at the session then, or sooner; what it does is for the row to say. A time too
    -- early costs one look, so the default suits what the release before stores.
    ADD COLUMN due_time      timestamptz NOT NULL DEFAULT now(),
    -- Completed by the service if nobody else does.
    ADD COLUMN auto_complete boolean NOT NULL DEFAULT false,
    -- NULL: as the disposition says.
    ADD COLUMN is_inline     boolean,
    -- The latest end of the holds on it.
    ADD COLUMN held_until    timestamptz,
    ADD COLUMN delete_time   timestamptz,
    -- Since when no object of an ended session, or uploaded one of a copied one, is known to be there.
    ADD COLUMN disposed_time timestamptz,
    ADD CONSTRAINT only_ready_is_held CHECK (held_until IS NULL OR state = 'ready'),
    ADD CONSTRAINT only_ready_is_deleted CHECK (delete_time IS NULL OR state = 'ready'),
    ADD CONSTRAINT deleted_is_not_stored CHECK (delete_time IS NULL OR booking = 'released'),
    DROP CONSTRAINT bytes_outlive_the_session,
    ADD CONSTRAINT bytes_outlive_the_session CHECK (
        object_purge_time >= expire_time OR delete_time IS NOT NULL
    ),
    ADD CONSTRAINT the_row_outlives_its_holds CHECK (metadata_purge_time >= held_until);

-- Of all tenants: one sweep serves them all.
CREATE INDEX upload_sessions_by_due_time ON upload_sessions (due_time);

-- A lease on attachments. `owner` makes it repeatable: empty for none.
CREATE TABLE holds (
    tenant_id    text        NOT NULL,
    hold_id      uuid        NOT NULL,
    -- Counts the changes of the hold and of what it holds.
    revision     integer     NOT NULL DEFAULT 1 CHECK (revision > 0),
    owner        text        NOT NULL,
    created_by   text        NOT NULL,
    create_time  timestamptz NOT NULL DEFAULT now(),
    expire_time  timestamptz NOT NULL CHECK (expire_time > create_time),
    release_time timestamptz,
    consumed     boolean     NOT NULL DEFAULT false CHECK (NOT consumed OR release_time IS NOT NULL),
    PRIMARY KEY (tenant_id, hold_id)
);

CREATE UNIQUE INDEX holds_by_owner
    ON holds (tenant_id, created_by, owner) WHERE owner <> '' AND release_time IS NULL;
-- Of all tenants, for the sweep.
CREATE INDEX holds_by_expire_time ON holds (expire_time);

CREATE TABLE held_attachments (
    tenant_id     text NOT NULL,
    hold_id       uuid NOT NULL,
    attachment_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, hold_id, attachment_id),
    FOREIGN KEY (tenant_id, hold_id) REFERENCES holds ON DELETE CASCADE
);

CREATE INDEX held_attachments_by_attachment ON held_attachments (tenant_id, attachment_id);

-- Of all tenants, for the sweep.
CREATE INDEX request_outcomes_by_create_time ON request_outcomes (create_time);
