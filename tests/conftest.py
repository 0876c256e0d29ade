"""Real servers for every test: PostgreSQL, an S3 store, and Attachery in front of them."""

from __future__ import annotations

pytest_plugins = ["store_fixtures", "database_fixtures", "service_fixtures", "redis_fixtures"]
