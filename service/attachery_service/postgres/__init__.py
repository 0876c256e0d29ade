"""Adapters for PostgreSQL: statements in SQL files, pools, and conversion of rows."""
