-- A purpose may allow uploads of 0 bytes. The release before writes no 0 and reads one as any size.

ALTER TABLE upload_sessions
    DROP CONSTRAINT upload_sessions_check,
    DROP CONSTRAINT upload_sessions_check2,
    DROP CONSTRAINT upload_sessions_check3,
    ADD CONSTRAINT declared_size_within_maximum CHECK (declared_size BETWEEN 0 AND max_size),
    ADD CONSTRAINT size_within_maximum CHECK (size BETWEEN 0 AND max_size),
    ADD CONSTRAINT reservation_within_maximum CHECK (reserved_bytes BETWEEN 0 AND max_size);
