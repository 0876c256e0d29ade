"""Applies migrations: numbered files, each applied once in its own transaction.

Migrations only add, so the previous release runs on the next release's schema. `attachery migrate`
applies them before a new release starts; a server refuses to start on a schema older than its own,
and runs on a newer one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from attachery_service.postgres import migrations
from attachery_service.postgres.connection.connect import connect, log_parameters
from attachery_service.postgres.connection.url import read_database_url
from attachery_service.postgres.database import Database
from attachery_service.postgres.errors import translate_errors
from attachery_service.postgres.queries import Query
from attachery_service.postgres.rows import Row

# Held to the end of each migration's transaction, so it works behind a transaction pooler too.
_LOCK = 4_278_190_081
OLDEST_POSTGRESQL = 15

_CONNECT_TIMEOUT = 10.0
_MIGRATION_TIMEOUT = 600.0

_PREPARE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    apply_time timestamptz NOT NULL DEFAULT now()
)
"""

_PREPARED = Query.compile("SELECT to_regclass('schema_migrations') IS NOT NULL AS prepared")
_VERSION = Query.compile("SELECT coalesce(max(version), 0) AS v FROM schema_migrations")
_MAJOR = Query.compile("SELECT current_setting('server_version_num')::int / 10000 AS major")


class SchemaError(RuntimeError):
    """The schema and this release do not match; the text has the remedy."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of migrations/: `0001_upload_sessions.sql`."""

    version: int
    name: str
    statements: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.statements.encode()).hexdigest()


def known_migrations() -> list[Migration]:
    """Returns the migrations of this release, in order."""
    found = (f for f in files(migrations).iterdir() if f.name.endswith(".sql"))
    return sorted(
        (
            Migration(int(f.name[:4]), f.name.removesuffix(".sql"), f.read_text(encoding="utf-8"))
            for f in found
        ),
        key=lambda migration: migration.version,
    )


async def migrate(url: str) -> list[Migration]:
    """Applies the missing migrations, and returns them.

    Concurrent runs are safe: each migration is applied by one of them. Raises SchemaError if an
    applied file has changed since or PostgreSQL rejects one, DatabaseUnavailable.
    """
    address = read_database_url(url)
    log_parameters(address)
    seconds = address.connect_timeout or _CONNECT_TIMEOUT
    with translate_errors(seconds):
        connection = await connect(address, seconds=seconds, prepared_statements=False)
    try:
        _require_version(connection.get_server_version().major)
        with translate_errors(_MIGRATION_TIMEOUT):
            return [m for m in known_migrations() if await _apply(connection, m)]
    except asyncpg.SyntaxOrAccessError as error:
        raise SchemaError(f"this database cannot be migrated: {error}") from error
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT)


async def schema_version(database: Database) -> int:
    """Returns the newest applied migration; 0 for an empty database."""
    exists = await database.row(_PREPARED)
    if exists is None or not exists["prepared"]:
        return 0
    row = await database.row(_VERSION)
    version: int = row["v"] if row else 0
    return version


async def require_schema(database: Database) -> int:
    """Returns the schema's version. Raises SchemaError if it, or the server, is too old."""
    row = await database.row(_MAJOR)
    _require_version(row["major"] if row else 0)
    version, needed = await schema_version(database), known_migrations()[-1].version
    if version < needed:
        raise SchemaError(
            f"the database has schema version {version}, this release needs {needed}: "
            "run 'attachery migrate' first"
        )
    return version


def _require_version(major: int) -> None:
    if major < OLDEST_POSTGRESQL:
        raise SchemaError(
            f"the database is PostgreSQL {major}, this release needs {OLDEST_POSTGRESQL} or newer"
        )


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> bool:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_PREPARE)
        applied = await connection.fetchrow(
            "SELECT sha256 FROM schema_migrations WHERE version = $1", migration.version
        )
        if applied is not None:
            _require_unchanged(migration, applied)
            return False
        await connection.execute("SET LOCAL lock_timeout = '10s'")
        await connection.execute(migration.statements)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.sha256,
        )
        return True


def _require_unchanged(migration: Migration, applied: Row) -> None:
    if applied["sha256"] != migration.sha256:
        raise SchemaError(f"migration {migration.name} was changed after it was applied")
