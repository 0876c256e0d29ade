"""Runs statements on pooled connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import asyncpg

from attachery_service.aio.deadline import WaitBudget, database_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.postgres.connection.connect import connect, log_parameters
from attachery_service.postgres.connection.url import read_database_url
from attachery_service.postgres.errors import FAULTS, to_domain_error, translate_errors
from attachery_service.postgres.pool import Connection, Pool
from attachery_service.postgres.queries import Query
from attachery_service.postgres.rows import Row

T = TypeVar("T")

# The severity of an error that ends a statement and leaves the connection usable. After a worse
# one, or one of the driver's own, part of a response may still be unread.
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


class Runner(Protocol):
    """Runs statements, with their parameters by name."""

    async def rows(self, query: Query, /, **values: object) -> Sequence[Row]: ...


class Database:
    """Runs one statement at a time. Every method raises DatabaseUnavailable.

    `timeout`: seconds that one call may wait for the database, over all its statements. Outside of
    calls, it is the limit of each statement.
    """

    def __init__(self, pool: Pool, timeout: float) -> None:
        self._pool = pool
        self.timeout = timeout

    async def row(self, query: Query, /, **values: object) -> Row | None:
        return await self._run(asyncpg.Connection.fetchrow, query.text, query.bind(values))

    async def rows(self, query: Query, /, **values: object) -> Sequence[Row]:
        return await self._run(asyncpg.Connection.fetch, query.text, query.bind(values))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Runs several statements that all happen, or none; each sees the effects of those before.

        After an error the pool rolls back in the background: the caller does not wait for an
        answer to ROLLBACK, which a silent server would never give.
        """
        with translate_errors(self.timeout):
            connection = await self._pool.acquire()
            try:
                await connection.execute("BEGIN")
                yield Transaction(connection)
                await connection.execute("COMMIT")
            except BaseException:
                self._pool.reset(connection)
                raise
            self._pool.release(connection)

    async def dry_run(self, query: Query, /, **values: object) -> Sequence[Row]:
        """Runs the statement and rolls it back."""
        with translate_errors(self.timeout):
            connection = await self._pool.acquire()
            try:
                await connection.execute("BEGIN")
                return await connection.fetch(query.text, *query.bind(values))
            finally:
                self._pool.reset(connection)

    async def _run(
        self, run: Callable[..., Awaitable[T]], statement: str, values: list[object]
    ) -> T:
        try:
            with database_budget() as budget:
                connection = self._pool.acquire_nowait() or await self._acquire(budget)
                try:
                    # The driver's own timer: asyncio's would cost a tenth of the statement more.
                    result = await run(
                        connection, statement, *values, timeout=self._seconds(budget)
                    )
                except BaseException as error:
                    self._release_after(connection, error)
                    raise
                self._pool.release(connection)
        except FAULTS as fault:
            raise to_domain_error(fault) from fault
        return result

    async def _acquire(self, budget: WaitBudget) -> Connection:
        with coarse_timeout(self._seconds(budget)):
            return await self._pool.acquire()

    def _seconds(self, budget: WaitBudget) -> float:
        seconds = budget.left(self.timeout)
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def _release_after(self, connection: Connection, error: BaseException) -> None:
        if isinstance(error, asyncpg.PostgresError) and error.severity_en == _HARMLESS:
            self._pool.release(connection)
        else:
            self._pool.reset(connection)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Runs statements on one connection."""

    connection: Connection

    async def rows(self, query: Query, /, **values: object) -> Sequence[Row]:
        return await self.connection.fetch(query.text, *query.bind(values))


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
    with translate_errors(address.connect_timeout or options.connect_timeout):
        pool.release(await pool.acquire())
    try:
        yield Database(pool, options.statement_timeout)
    finally:
        await pool.close()
