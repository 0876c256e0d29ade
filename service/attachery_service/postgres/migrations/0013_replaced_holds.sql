-- Replacing the attachments of a hold, and finding holds by owner.

-- The revision of the hold that last lost attachments. A call whose snapshot is older does not rely on what it
-- read of them.
ALTER TABLE holds ADD COLUMN shrunk_revision integer NOT NULL DEFAULT 0;

-- Of all principals. held_attachments_by_end_time finds the holds on an attachment.
CREATE INDEX holds_of_owner ON holds (tenant_id, owner, hold_id) WHERE owner <> '' AND release_time IS NULL;
