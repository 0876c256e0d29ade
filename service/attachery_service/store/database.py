"""The pool of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from attachery_service.store.faults import within
from attachery_service.store.rows import Row

# Closing waits for connections in use; one to a dead server would never come back.
_CLOSE_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """How to reach Postgres. Times in seconds.

    `prepared_statements` False suits a proxy that pools transactions without supporting them
    (PgBouncer before 1.21).
    """

    url: str
    pool_size: int = 10
    connect_timeout: float = 3.0
    statement_timeout: float = 5.0
    prepared_statements: bool = True


class Database:
    """Runs one statement at a time. Every method raises DatabaseUnavailable."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], statement_timeout: float) -> None:
        self._pool = pool
        self._timeout = statement_timeout

    async def row(self, statement: str, *values: object) -> Row | None:
        async with within(self._timeout), self._pool.acquire() as connection:
            return await connection.fetchrow(statement, *values)

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        async with within(self._timeout), self._pool.acquire() as connection:
            return await connection.fetch(statement, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several statements that all happen, or none; each sees what was done before it."""
        async with (
            within(self._timeout),
            self._pool.acquire() as connection,
            connection.transaction(),
        ):
            yield Transaction(connection)

    async def rehearse(self, statement: str, *values: object) -> Row | None:
        """The row the statement would give; nothing of it stays."""
        async with within(self._timeout), self._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                return await connection.fetchrow(statement, *values)
            finally:
                await transaction.rollback()


@dataclass(frozen=True, slots=True)
class Transaction:
    """Runs statements on one connection."""

    connection: PoolConnectionProxy[asyncpg.Record]

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        return await self.connection.fetch(statement, *values)


@asynccontextmanager
async def open_database(options: DatabaseOptions) -> AsyncIterator[Database]:
    """A pool, closed at the end. Raises DatabaseUnavailable if Postgres cannot be reached."""
    async with within(options.connect_timeout):
        pool = await asyncpg.create_pool(
            options.url,
            min_size=1,
            max_size=options.pool_size,
            timeout=options.connect_timeout,
            command_timeout=options.statement_timeout,
            statement_cache_size=100 if options.prepared_statements else 0,
            server_settings={"application_name": "attachery"},
        )
    try:
        yield Database(pool, options.statement_timeout)
    finally:
        await _close(pool)


async def _close(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await pool.close()
    except TimeoutError:
        pool.terminate()
