-- Validates the constraints that were added without a look at existing rows. Reads and writes go on
-- meanwhile: VALIDATE takes no ACCESS EXCLUSIVE lock, which ADD CONSTRAINT keeps until its transaction ends.
ALTER TABLE holds VALIDATE CONSTRAINT attachment_count_is_not_negative;
ALTER TABLE upload_sessions
    VALIDATE CONSTRAINT only_ready_is_claimable,
    VALIDATE CONSTRAINT declared_size_within_maximum,
    VALIDATE CONSTRAINT size_within_maximum,
    VALIDATE CONSTRAINT reservation_within_maximum;
