"""Work without a caller: the sweep, and notifications of object storage."""
