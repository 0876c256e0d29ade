"""`attachery migrate`: brings the schema up to date, however many run it at once."""

from __future__ import annotations

import argparse

from pydantic_settings import BaseSettings, SettingsConfigDict

from attachery_service.postgres.migrate import known_migrations, migrate
from attachery_service.settings.service import DatabaseUrl


class MigrationSettings(BaseSettings):
    """All that a migration needs."""

    model_config = SettingsConfigDict(
        env_prefix="ATTACHERY_", extra="ignore", env_ignore_empty=True
    )

    database_url: DatabaseUrl


async def run(_: argparse.Namespace) -> int:
    settings = MigrationSettings()
    applied = await migrate(settings.database_url.get_secret_value())
    for migration in applied:
        print(f"applied {migration.name}")
    print(f"schema version {known_migrations()[-1].version}")
    return 0
