"""Counts in a Redis that all processes share; without it each counts for itself.

A Redis that is down or slow must not take the service with it, and must not take the limits with it
either: what a process counts alone is never more than the fleet's count, so nobody is refused
for Redis's sake, while a flood is still met by a limit, if by one for each process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import structlog
from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from prometheus_client import Counter

from attachery_service.domain.rates import Allowance, RateLimit
from attachery_service.ratelimit.sliding_window import Counts, SlidingWindows

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool

_log = structlog.get_logger("attachery.limiting")

# Of all a call does this must be the least: Redis answers in a fraction of a millisecond.
_PATIENCE = 0.05
# One that does not answer is asked again by one call in this time; all others do not wait for it.
_PAUSE = 1.0

_MAX_CONNECTIONS = 32


class RateLimitStoreError(Exception):
    """The setting cannot be followed."""


class SharedCounts:
    """Asks the shared counts, and this process's own while they do not answer."""

    def __init__(self, shared: Counts, own: Counts, unshared: Counter) -> None:
        self._shared = shared
        self._own = own
        self._unshared = unshared
        self._answering = True
        self._next_try = 0.0

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        found = await self._ask(key, limit)
        if found is None:
            self._unshared.inc()
            found = await self._own.take(key, limit)
        return found

    async def _ask(self, key: str, limit: RateLimit) -> Allowance | None:
        if not self._answering:
            if time.monotonic() < self._next_try:
                return None
            self._next_try = time.monotonic() + _PAUSE
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await self._shared.take(key, limit)
        except (StorageError, OSError) as error:  # a TimeoutError is an OSError
            self._turn(answering=False, cause=error.__cause__ or error)
            return None
        self._turn(answering=True)
        return found

    def _turn(self, *, answering: bool, cause: BaseException | None = None) -> None:
        if answering == self._answering:
            return
        self._answering = answering
        if answering:
            _log.info("rate limits shared again")
        else:
            self._next_try = time.monotonic() + _PAUSE
            # Its text may hold the URL, and that a password.
            _log.warning("rate limits not shared", cause=type(cause).__name__)


@asynccontextmanager
async def shared_counts(url: str, own: Counts, unshared: Counter) -> AsyncIterator[Counts]:
    """Raises RateLimitStoreError. Whether Redis answers is seen at the first call."""
    pool = _connection_pool(url)
    storage = RedisStorage(
        "async+redis://",
        wrap_exceptions=True,
        implementation="redispy",
        connection_pool=cast("Any", pool),  # the typings know of scalars only
    )
    try:
        yield SharedCounts(SlidingWindows(storage), own, unshared)
    finally:
        await pool.disconnect()


def _connection_pool(url: str) -> BlockingConnectionPool:
    try:
        from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise RateLimitStoreError(
            "ATTACHERY_RATE_LIMIT_STORE needs the package redis: pip install 'attachery[redis]'"
        ) from error
    try:
        pool = BlockingConnectionPool.from_url(url, max_connections=_MAX_CONNECTIONS)
        pool.connection_class(**pool.connection_kwargs)  # connects to nothing yet
    except (ValueError, TypeError):
        # Without the cause, which may hold the URL, and that a password.
        raise RateLimitStoreError(
            "ATTACHERY_RATE_LIMIT_STORE: not a URL of a Redis, or with options it does not know"
        ) from None
    return pool
