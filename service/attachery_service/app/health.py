"""The health status of a process, which follows the state of the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from attachery_service.domain.errors import AttacheryError
from attachery_service.postgres.connection.diagnosis import DatabaseMisconfigured
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import Query
from attachery_service.rpc.services.health import Health

_PING = Query.compile("SELECT 1")

_log = structlog.get_logger("attachery.app")


@asynccontextmanager
async def database_watched(
    database: Database, health: Health, interval: float
) -> AsyncIterator[None]:
    """Set health to SERVING, then query the database every `interval` seconds during the block."""
    health.set_serving(serving=True)
    watch = asyncio.create_task(_watch(database, health, interval))
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _watch(database: Database, health: Health, interval: float) -> None:
    """Keep health in step with the database; without it the service can answer no call."""
    while True:
        await asyncio.sleep(interval)
        fault = await _fault(database)
        if health.serving and fault is not None:
            _log_fault(fault)
        elif not health.serving and fault is None:
            _log.info("database available")
        health.set_serving(serving=fault is None)


async def _fault(database: Database) -> BaseException | None:
    try:
        await database.row(_PING)
    except Exception as error:  # of any kind: each makes calls fail
        return error
    return None


def _log_fault(fault: BaseException) -> None:
    wrong = isinstance(fault, DatabaseMisconfigured)
    facts = fault.facts if isinstance(fault, AttacheryError) else {}
    cause = fault.__cause__ or fault
    log = _log.error if wrong else _log.warning
    log(
        "database misconfigured" if wrong else "database unavailable",
        cause=type(cause).__name__,
        **facts,
    )
