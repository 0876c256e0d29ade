-- The revision of the hold that last lost attachments. A call whose snapshot is older does not rely on what it
-- read of them.
ALTER TABLE holds ADD COLUMN shrunk_revision integer NOT NULL DEFAULT 0;
