-- Finds the holds of an owner, of all principals. held_attachments_by_end_time finds those on an attachment.
--
-- The build blocks writes to holds, while reads go on. It is a migration of its own, because locks last until
-- the transaction ends.
CREATE INDEX holds_of_owner ON holds (tenant_id, owner, hold_id) WHERE owner <> '' AND release_time IS NULL;
