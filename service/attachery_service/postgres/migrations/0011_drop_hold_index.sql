-- held_attachments_by_end_time replaces it. In the migration that builds that one, this would wait for
-- readers of the table that wait for the build.
DROP INDEX held_attachments_by_attachment;
