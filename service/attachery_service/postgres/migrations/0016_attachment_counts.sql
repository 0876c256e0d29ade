-- How many attachments each tenant has, and how many of each purpose: READY ones and pending reservations.

-- A tenant's count is divided like its other counters. The defaults are those of counters without a limit.
ALTER TABLE tenant_usage
    ADD COLUMN attachments       bigint NOT NULL DEFAULT 0,
    ADD COLUMN attachments_share bigint NOT NULL DEFAULT 9223372036854775807,
    ADD COLUMN max_attachments   bigint,
    -- The limits by purpose that the shares in purpose_usage were computed from.
    ADD COLUMN purpose_limits    jsonb  NOT NULL DEFAULT '{}',
    -- NOT VALID checks new rows only; 0017 validates the others without blocking reads or writes.
    ADD CONSTRAINT attachments_are_not_negative CHECK (attachments >= 0) NOT VALID;

-- The count of each purpose. A session is counted in the row of its own shard, and a row changes only while
-- the transaction has the lock of this shard in tenant_usage.
CREATE TABLE purpose_usage (
    tenant_id         text     NOT NULL,
    purpose           text     NOT NULL,
    shard             smallint NOT NULL CHECK (shard BETWEEN 0 AND 15),
    attachments       bigint   NOT NULL DEFAULT 0,
    attachments_share bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, purpose, shard)
) WITH (fillfactor = 20);  -- room for new versions beside the old ones: no index is touched
