-- Renewing a hold costs by the attachments in the request, not by all that it is on.

-- Free space in each page keeps the new version of a row in the page of the old one (a HOT update),
-- which leaves all indexes alone. Pages that are full already get it when they are rewritten.
ALTER TABLE upload_sessions SET (fillfactor = 85);

ALTER TABLE holds
    -- Right if counted_revision is the revision: the release before maintains neither.
    ADD COLUMN attachment_count integer NOT NULL DEFAULT 0 CHECK (attachment_count >= 0),
    ADD COLUMN counted_revision integer NOT NULL DEFAULT 0;

-- The end of a hold that was never renewed, which upload_sessions.held_until includes. NULL: the hold
-- may have been renewed without its attachments, so its own row tells the end.
ALTER TABLE held_attachments ADD COLUMN end_time timestamptz;

-- Finds the holds on an attachment that may end later than its row tells, and the latest of the others.
CREATE INDEX held_attachments_by_end_time
    ON held_attachments (tenant_id, attachment_id, end_time) INCLUDE (hold_id);
DROP INDEX held_attachments_by_attachment;
