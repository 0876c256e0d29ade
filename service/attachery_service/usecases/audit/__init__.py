"""Comparison of the database with object storage."""
