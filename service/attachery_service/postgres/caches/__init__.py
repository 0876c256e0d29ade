"""In-process caches of rows."""
