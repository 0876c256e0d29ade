"""Event notifications of object storage."""
