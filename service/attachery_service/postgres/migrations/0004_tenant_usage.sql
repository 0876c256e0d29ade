-- What each tenant uses, and what each session has booked of it.

-- A tenant's counters are spread over 16 rows, so that its Starts do not queue behind one. Each row
-- may be used up to its share of the limits; max_* are the limits the shares were dealt from.
CREATE TABLE tenant_usage (
    tenant_id            text     NOT NULL,
    shard                smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
    pending_sessions     bigint   NOT NULL DEFAULT 0 CHECK (pending_sessions >= 0),
    pending_bytes        bigint   NOT NULL DEFAULT 0 CHECK (pending_bytes >= 0),
    stored_bytes         bigint   NOT NULL DEFAULT 0 CHECK (stored_bytes >= 0),
    sessions_share       bigint   NOT NULL DEFAULT 0,
    pending_share        bigint   NOT NULL DEFAULT 0,
    stored_share         bigint   NOT NULL DEFAULT 0,
    -- No limit is -1 anywhere: rows that were never dealt to fit no limits at all.
    max_pending_sessions bigint   DEFAULT -1,
    max_pending_bytes    bigint   DEFAULT -1,
    max_stored_bytes     bigint   DEFAULT -1,
    PRIMARY KEY (tenant_id, shard),
    CONSTRAINT pending_bytes_belong_to_sessions CHECK (pending_sessions > 0 OR pending_bytes = 0)
) WITH (fillfactor = 20);  -- room for new versions beside the old ones: no index is touched

-- pending: counted until the target can write no more. stored: counted by its verified size.
CREATE TYPE booking AS ENUM ('pending', 'stored', 'released');

-- NULL in sessions of the release before, which booked nothing: they are not counted.
ALTER TABLE upload_sessions
    ADD COLUMN usage_shard    smallint CHECK (usage_shard BETWEEN 0 AND 15),
    ADD COLUMN reserved_bytes bigint   CHECK (reserved_bytes BETWEEN 1 AND max_size),
    ADD COLUMN booking        booking,
    ADD CONSTRAINT booked_as_a_whole CHECK (
        (usage_shard IS NULL) = (booking IS NULL) AND (reserved_bytes IS NULL) = (booking IS NULL)
    ),
    ADD CONSTRAINT reserved_is_what_was_declared CHECK (
        reserved_bytes = coalesce(declared_size, max_size)
    ),
    -- What arrived never needs more room than was kept for it.
    ADD CONSTRAINT ready_fits_its_reservation CHECK (size <= reserved_bytes),
    -- READY may still be pending: the release before settles nothing, so release_due.sql does.
    ADD CONSTRAINT only_ready_is_stored CHECK (booking <> 'stored' OR state = 'ready');

-- Finds what is due for release.
CREATE INDEX upload_sessions_by_url_end
    ON upload_sessions (tenant_id, upload_url_expire_time) WHERE booking = 'pending';
