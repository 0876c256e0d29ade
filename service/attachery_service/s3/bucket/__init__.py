"""What a bucket enforces, and how it is configured."""
