"""The interfaces through which use cases reach the database and object storage."""
