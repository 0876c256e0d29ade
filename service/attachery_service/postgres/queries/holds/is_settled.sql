-- Whether the locked hold `c` can be renewed without reading its attachments: it has not expired, its
-- count is up to date, and none of its `held_attachments` rows has an `end_time`.
(c.revision > 1 AND c.counted_revision = c.revision AND c.expire_time > clock_timestamp())
