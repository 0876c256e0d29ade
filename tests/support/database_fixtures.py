"""One PostgreSQL for the run, a database of its own for every test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from attachery_dev.embedded.postgres import running_postgres
from attachery_service.postgres.migrate import migrate

_TEMPLATE = "migrated"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server whose database `migrated` is the template of all others."""
    folder = tmp_path_factory.mktemp("postgres")
    async with running_postgres(folder, durable=False) as url:
        await _execute(url, f"CREATE DATABASE {_TEMPLATE}")
        await migrate(database_named(url, _TEMPLATE))
        yield url


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    async with temporary_database(postgres_url, template="template1") as url:
        yield url


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A fresh database with the schema."""
    async with temporary_database(postgres_url) as url:
        yield url


def database_named(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


@asynccontextmanager
async def temporary_database(server_url: str, *, template: str = _TEMPLATE) -> AsyncIterator[str]:
    """The URL of a new database with the schema, or a copy of another template."""
    name = f"test_{next(_numbers)}"
    # By default PostgreSQL writes the copy to its log, which takes three times as long.
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield database_named(server_url, name)
    finally:
        await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
