-- A purpose may allow uploads of 0 bytes. The release before writes no 0 and reads one as any size.

ALTER TABLE upload_sessions
    DROP CONSTRAINT upload_sessions_check,
    DROP CONSTRAINT upload_sessions_check2,
    DROP CONSTRAINT upload_sessions_check3,
    -- NOT VALID checks new rows only; 0010 validates the others without blocking reads or writes.
    ADD CONSTRAINT declared_size_within_maximum CHECK (declared_size BETWEEN 0 AND max_size) NOT VALID,
    ADD CONSTRAINT size_within_maximum CHECK (size BETWEEN 0 AND max_size) NOT VALID,
    ADD CONSTRAINT reservation_within_maximum CHECK (reserved_bytes BETWEEN 0 AND max_size) NOT VALID;
