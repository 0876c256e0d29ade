"""The features that a bucket enforces, and its configuration."""
