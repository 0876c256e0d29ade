"""`attachery migrate`: bring the schema up to date; concurrent runs wait for each other."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pydantic_settings import BaseSettings, SettingsConfigDict

from attachery_service.postgres.migrate import known_migrations, migrate
from attachery_service.settings.service import DatabaseUrl


class MigrationSettings(BaseSettings):
    """The settings of a migration: the database only."""

    model_config = SettingsConfigDict(
        env_prefix="ATTACHERY_", extra="ignore", env_ignore_empty=True
    )

    database_url: DatabaseUrl


def add_arguments(parser: ArgumentParser) -> None:
    parser.set_defaults(run=run)


async def run(_: Namespace) -> int:
    """Apply the missing migrations; print their names and the schema's version."""
    settings = MigrationSettings()
    applied = await migrate(settings.database_url.get_secret_value())
    for migration in applied:
        print(f"applied {migration.name}")
    print(f"schema version {known_migrations()[-1].version}")
    return 0
