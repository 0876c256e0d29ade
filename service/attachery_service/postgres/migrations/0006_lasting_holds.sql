-- Renewing a hold costs by the attachments in the request, not by all that it is on.

-- Free space in each page keeps the new version of a row in the page of the old one (a HOT update),
-- which leaves all indexes alone. Pages that are full already get it when they are rewritten.
ALTER TABLE upload_sessions SET (fillfactor = 85);

ALTER TABLE holds
    -- Right if counted_revision is the revision: the release before maintains neither.
    ADD COLUMN attachment_count integer NOT NULL DEFAULT 0,
    ADD COLUMN counted_revision integer NOT NULL DEFAULT 0,
    -- NOT VALID checks new rows only; 0010 validates the others without blocking reads or writes.
    ADD CONSTRAINT attachment_count_is_not_negative CHECK (attachment_count >= 0) NOT VALID;

-- The end of a hold that was never renewed, which upload_sessions.held_until includes. NULL: the hold
-- may have been renewed without its attachments, so its own row tells the end.
ALTER TABLE held_attachments ADD COLUMN end_time timestamptz;
