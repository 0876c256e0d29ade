"""`attachery check`: what the service finds outside, before it serves."""

from __future__ import annotations

import argparse
import time

from attachery_service.app import database_options, storage_options
from attachery_service.cli.ready_file import settings_of
from attachery_service.config import Settings
from attachery_service.storage.client import open_storage
from attachery_service.storage.probing import probe
from attachery_service.store.database import Database, open_database
from attachery_service.store.migrating import require_schema


async def run(options: argparse.Namespace) -> int:
    """Prints one finding per line; fails where `serve` would."""
    settings = settings_of(options.ready_file)
    async with open_database(database_options(settings)) as database:
        _print("schema version", await require_schema(database))
        _print("database clock", f"{await _clock_difference(database):+.3f} s from this machine's")
    await _check_storage(settings)
    return 0


async def _clock_difference(database: Database) -> float:
    row = await database.row("SELECT extract(epoch FROM clock_timestamp()) AS now")
    return float(row["now"]) - time.time() if row else 0.0


async def _check_storage(settings: Settings) -> None:
    _print("storage", f"{settings.s3_endpoint or 'AWS'}, bucket {settings.s3_bucket}")
    async with open_storage(storage_options(settings)) as storage:
        report = await probe(storage)
    _print("seal", report.seal.value)
    if report.clock_difference is not None:
        _print("storage clock", f"{report.clock_difference:+.0f} s from this machine's")
    _print("permissions", ", ".join(sorted(report.permitted)))
    _print("versioned", "yes" if report.versioned else "no")
    for note in report.notes:
        _print("note", note)


def _print(name: str, value: object) -> None:
    print(f"{name:<18}{value}")
