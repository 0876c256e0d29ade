"""Coalescing of concurrent queries into batch statements."""
