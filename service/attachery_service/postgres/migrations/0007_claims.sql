-- READY by the service itself (auto_complete): the uploader's own Complete, if it comes, claims it once.

ALTER TABLE upload_sessions
    ADD COLUMN is_claimable boolean NOT NULL DEFAULT false,
    -- NOT VALID checks new rows only; 0010 validates the others without blocking reads or writes.
    ADD CONSTRAINT only_ready_is_claimable CHECK (NOT is_claimable OR state = 'ready') NOT VALID;
