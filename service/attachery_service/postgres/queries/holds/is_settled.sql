-- The locked hold `c` can be renewed without a look at all that it is on: it lives, its count is
-- right, and its attachments have no end_time of their own.
(c.revision > 1 AND c.counted_revision = c.revision AND c.expire_time > clock_timestamp())
