"""`attachery migrate`: repeated and concurrent runs result in the same schema."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from attachery_service.postgres.migrate import known_migrations
from support.process_fixtures import RunHere
from support.processes import ran

NewFolder = Callable[[], Path]
_SCANS = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables"
_BLOCKED = """
SELECT c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.mode = 'AccessExclusiveLock'
"""
VERSION = f"schema version {known_migrations()[-1].version}"


async def migrated(folder: Path, url: str) -> list[str]:
    done = await ran(folder, "migrate", settings={"database_url": url})
    assert (done.code, done.err) == (0, "")
    return done.out.splitlines()


async def scans_of(connection: asyncpg.Connection[asyncpg.Record]) -> dict[str, int]:
    """The number of scans of each table in this transaction."""
    return {row["relname"]: row["seq_scan"] for row in await connection.fetch(_SCANS)}


@pytest.mark.exhaustive
async def test_six_at_once_apply_each_migration_once(
    empty_database_url: str, new_folder: NewFolder
) -> None:
    said = await asyncio.gather(*(migrated(new_folder(), empty_database_url) for _ in range(6)))
    assert {lines[-1] for lines in said} == {VERSION}
    applied = sorted(line for lines in said for line in lines[:-1])
    assert applied == [f"applied {migration.name}" for migration in known_migrations()]
    assert await migrated(new_folder(), empty_database_url) == [VERSION]


async def test_no_migration_scans_a_table_while_it_blocks_all_access_to_it(
    empty_database_url: str,
) -> None:
    released = 5
    connection = await asyncpg.connect(empty_database_url)
    for migration in known_migrations():
        async with connection.transaction():
            before = await scans_of(connection)
            await connection.execute(migration.statements)
            blocked = [row["relname"] for row in await connection.fetch(_BLOCKED)]
            after = await scans_of(connection)
        if migration.version > released:
            scanned = {table for table in before if after[table] > before[table]}
            assert not scanned.intersection(blocked), migration.name
    invalid = await connection.fetch("SELECT conname FROM pg_constraint WHERE NOT convalidated")
    assert invalid == []
    await connection.close()


async def test_a_migration_that_was_changed_since_is_refused(
    database_url: str, run_here: RunHere
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE schema_migrations SET sha256 = 'another' WHERE version = 1")
    await connection.close()
    done = await run_here("migrate", settings={"database_url": database_url})
    assert "was changed after it was applied" in done.refused_with(1)


async def test_a_role_without_the_right_to_create_tables_is_reported(
    empty_database_url: str, run_here: RunHere
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE ROLE visitor LOGIN PASSWORD 'visitors-password'")
    await connection.close()
    url = f"postgresql://visitor:visitors-password@{empty_database_url.rpartition('@')[2]}"
    line = (await run_here("migrate", settings={"database_url": url})).refused_with(1)
    assert "permission denied" in line
    assert "visitors-password" not in line


async def test_without_a_database_it_says_which_setting_is_missing(run_here: RunHere) -> None:
    assert "ATTACHERY_DATABASE_URL" in (await run_here("migrate")).refused_with(2)
