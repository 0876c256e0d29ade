"""Statements, one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from attachery_service.aio.deadline import WaitBudget, database_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.postgres.connection.connect import connect, log_parameters
from attachery_service.postgres.connection.url import read_database_url
from attachery_service.postgres.errors import FAULTS, bounded, in_words
from attachery_service.postgres.pool import Connection, Pool
from attachery_service.postgres.rows import Row

T = TypeVar("T")

# How the server calls what ends a statement and leaves the connection as it was. What it calls
# worse, and what the driver says by itself, may have left half an answer.
_HARMLESS = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions:
    """How to reach Postgres. Times in seconds; parameters of `url` take precedence.

    `prepared_statements` False suits a proxy that pools transactions without supporting them
    (PgBouncer before 1.21).
    """

    url: str
    pool_size: int = 10
    connect_timeout: float = 3.0
    statement_timeout: float = 5.0
    prepared_statements: bool = True


class Database:
    """Runs one statement at a time. Every method raises DatabaseUnavailable.

    `timeout`: seconds that one call may wait for the database, over all its statements. Outside of
    calls, it is the limit of each statement.
    """

    def __init__(self, pool: Pool, timeout: float) -> None:
        self._pool = pool
        self.timeout = timeout

    async def row(self, statement: str, *values: object) -> Row | None:
        return await self._run(asyncpg.Connection.fetchrow, statement, values)

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        return await self._run(asyncpg.Connection.fetch, statement, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several statements that all happen, or none; each sees what was done before it.

        After an error the pool rolls back in the background: the caller does not wait for an
        answer to ROLLBACK, which a silent server would never give.
        """
        with bounded(self.timeout):
            connection = await self._pool.acquire()
            try:
                await connection.execute("BEGIN")
                yield Transaction(connection)
                await connection.execute("COMMIT")
            except BaseException:
                self._pool.reset(connection)
                raise
            self._pool.release(connection)

    async def dry_run(self, statement: str, *values: object) -> Row | None:
        """The row the statement would give; nothing of it stays."""
        with bounded(self.timeout):
            connection = await self._pool.acquire()
            try:
                await connection.execute("BEGIN")
                return await connection.fetchrow(statement, *values)
            finally:
                self._pool.reset(connection)

    async def _run(
        self, run: Callable[..., Awaitable[T]], statement: str, values: tuple[object, ...]
    ) -> T:
        try:
            with database_budget() as budget:
                connection = self._pool.acquire_nowait() or await self._waited_for(budget)
                try:
                    # The driver's own timer: asyncio's would cost a tenth of the statement more.
                    result = await run(
                        connection, statement, *values, timeout=self._seconds(budget)
                    )
                except BaseException as error:
                    self._put_away(connection, error)
                    raise
                self._pool.release(connection)
        except FAULTS as fault:
            raise in_words(fault) from fault
        return result

    async def _waited_for(self, budget: WaitBudget) -> Connection:
        with coarse_timeout(self._seconds(budget)):
            return await self._pool.acquire()

    def _seconds(self, budget: WaitBudget) -> float:
        seconds = budget.left(self.timeout)
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def _put_away(self, connection: Connection, error: BaseException) -> None:
        if isinstance(error, asyncpg.PostgresError) and error.severity_en == _HARMLESS:
            self._pool.release(connection)
        else:
            self._pool.reset(connection)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Runs statements on one connection."""

    connection: Connection

    async def rows(self, statement: str, *values: object) -> Sequence[Row]:
        return await self.connection.fetch(statement, *values)


@asynccontextmanager
async def open_database(options: DatabaseOptions) -> AsyncIterator[Database]:
    """A pool, closed at the end.

    Raises DatabaseUnavailable if Postgres cannot be reached, ValueError for a URL that no
    setting can hold.
    """
    address = read_database_url(options.url)
    log_parameters(address)

    async def open_connection() -> Connection:
        return await connect(
            address,
            seconds=options.connect_timeout,
            statement_seconds=options.statement_timeout,
            prepared_statements=options.prepared_statements,
        )

    pool = Pool(open_connection, options.pool_size)
    with bounded(address.connect_timeout or options.connect_timeout):
        pool.release(await pool.acquire())
    try:
        yield Database(pool, options.statement_timeout)
    finally:
        await pool.close()
