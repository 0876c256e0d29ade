"""Connections pass from caller to caller, whatever the result of the previous statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import asyncpg
import pytest

from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.postgres.database import Database, DatabaseOptions, open_database
from attachery_service.postgres.pool import Connection, Pool
from attachery_service.postgres.queries import Query

NEVER = Query.compile("SELECT pg_sleep(100)")
WHO = Query.compile("SELECT pg_backend_pid() AS pid, 1 AS one")
DIVIDE = Query.compile("SELECT 1 / :divisor::int AS one")
CREATE = Query.compile("CREATE TABLE nothing (a int)")
IS_GONE = Query.compile("SELECT to_regclass('nothing') IS NULL AS gone")


@pytest.fixture
async def raw(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(params=["prepared", "unprepared"])
async def database(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A database with one connection, so that every statement follows the previous one."""
    prepared = request.param == "prepared"
    options = DatabaseOptions(url=database_url, pool_size=1, prepared_statements=prepared)
    async with open_database(options) as opened:
        yield opened


async def pid(database: Database) -> int:
    row = await database.row(WHO)
    assert row is not None
    assert row["one"] == 1
    found: int = row["pid"]
    return found


async def until_running(raw: asyncpg.Connection[asyncpg.Record], running: int) -> None:
    """Waits until `count` statements sleep in the server."""
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
        "AND wait_event = 'PgSleep' AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        while await raw.fetchval(sleeping) != running:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_connection_is_used_again_after_a_statement_that_failed(
    database: Database,
) -> None:
    before = await pid(database)
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.row(DIVIDE, divisor=0)
        assert await pid(database) == before


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_cancelled_statement_is_ended_and_answers_no_other_caller(
    database: Database, raw: asyncpg.Connection[asyncpg.Record], dry_run: bool
) -> None:
    run: Callable[[Query], Coroutine[Any, Any, Any]] = database.dry_run if dry_run else database.row
    left = asyncio.create_task(run(NEVER))
    await until_running(raw, 1)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await pid(database) > 0
    await until_running(raw, 0)
    states = await raw.fetch(
        "SELECT state FROM pg_stat_activity WHERE application_name = 'attachery' "
        "AND datname = current_database()"
    )
    assert [row["state"] for row in states] == ["idle"]


async def test_a_timed_out_statement_is_ended_and_answers_no_other_caller(
    database_url: str, raw: asyncpg.Connection[asyncpg.Record]
) -> None:
    options = DatabaseOptions(url=database_url, pool_size=1, statement_timeout=0.5)
    async with open_database(options) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.row(NEVER)
        await until_running(raw, 0)
        assert await pid(database) > 0


async def test_a_connection_lost_in_a_statement_is_replaced(
    database: Database, raw: asyncpg.Connection[asyncpg.Record]
) -> None:
    lost = await pid(database)
    broken = asyncio.create_task(database.row(NEVER))
    await until_running(raw, 1)
    await raw.execute("SELECT pg_terminate_backend($1)", lost)
    with pytest.raises(DatabaseUnavailable):
        await broken
    assert await pid(database) != lost


async def test_writes_of_a_dry_run_are_rolled_back(database: Database) -> None:
    assert not await database.dry_run(CREATE)
    row = await database.row(IS_GONE)
    assert row is not None
    assert row["gone"]


async def test_callers_share_the_connections_there_are(
    database_url: str, raw: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with open_database(DatabaseOptions(url=database_url, pool_size=3)) as database:
        pids = await asyncio.gather(*(pid(database) for _ in range(50)))
        assert 1 <= len(set(pids)) <= 3
        # The most recently used connections are used next.
        assert len({await pid(database) for _ in range(10)}) == 1


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async def connect() -> Connection:
        return await asyncpg.connect(database_url)

    pool = Pool(connect, 1)
    yield pool
    await pool.close()


async def test_a_cancelled_waiter_passes_its_turn_on(pool: Pool) -> None:
    taken = await pool.acquire()
    first, second, third = (asyncio.create_task(pool.acquire()) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    pool.release(taken)
    second.cancel()  # at the moment of its turn
    assert await third is taken
    for left in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await left


async def test_waiting_callers_fail_when_the_pool_closes(pool: Pool) -> None:
    await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(ConnectionError):
        await waiting
    with pytest.raises(ConnectionError):
        await pool.acquire()


async def test_a_refused_connection_fails_all_waiters_without_another() -> None:
    attempts = 0

    async def connect() -> Connection:
        nonlocal attempts
        attempts += 1
        return await asyncpg.connect("postgresql://u:p@127.0.0.1:1/n")

    pool = Pool(connect, 1)
    outcomes = await asyncio.gather(*(pool.acquire() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, OSError) for outcome in outcomes)
    assert attempts == 1
    await pool.close()


async def test_a_refused_connection_leaves_callers_waiting_for_one_that_works(
    database_url: str,
) -> None:
    attempts, ended = 0, asyncio.Event()

    async def connect() -> Connection:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            return await asyncpg.connect(database_url)
        if attempts > 2:
            await ended.wait()
        raise asyncpg.TooManyConnectionsError("full")

    pool = Pool(connect, 2)
    taken = await pool.acquire()
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await waiting[0]
    pool.release(taken)
    assert await waiting[1] is taken
    pool.release(taken)
    ended.set()
    await pool.close()


@pytest.mark.parametrize("ends", ["cut short", "failed"])
async def test_a_transaction_that_ends_badly_is_rolled_back_without_its_caller(
    database: Database, raw: asyncpg.Connection[asyncpg.Record], ends: str
) -> None:
    await raw.execute("CREATE TABLE written (a int)")

    async def write() -> None:
        async with database.transaction() as transaction:
            await transaction.rows(Query.compile("INSERT INTO written VALUES (1)"))
            if ends == "failed":
                raise KeyError
            await transaction.rows(NEVER)

    task = asyncio.create_task(write())
    if ends == "cut short":
        await until_running(raw, 1)
        task.cancel()
    with pytest.raises((asyncio.CancelledError, KeyError)):
        await task
    assert await pid(database) > 0
    assert await raw.fetchval("SELECT count(*) FROM written") == 0
