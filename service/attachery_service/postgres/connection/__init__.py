"""Database URLs, and the connections they describe."""
