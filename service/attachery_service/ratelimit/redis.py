"""Counters in a Redis that all processes share, with each process's own as a fallback.

A slow or unavailable Redis must neither delay calls nor lift the limits. A process's own count
never exceeds the shared count, so the fallback refuses no call that Redis would have granted, and
still limits a flood, though for each process separately.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from prometheus_client import Counter

from attachery_service.domain.rates import Allowance, RateLimit
from attachery_service.ratelimit.sliding_window import Counts, Window

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool

_log = structlog.get_logger("attachery.limiting")

# Seconds. Redis answers in a fraction of a millisecond, and a call must not wait for its limit.
_TIMEOUT = 0.05
# While Redis does not answer, one call in this many seconds tries it again; no other call waits.
_RETRY_SECONDS = 1.0

_MAX_CONNECTIONS = 32


class RateLimitStoreError(Exception):
    """The setting ATTACHERY_RATE_LIMIT_STORE is unusable."""


class RedisCounts:
    """Counts calls in Redis, by the scripts of `limits`."""

    def __init__(self, storage: RedisStorage) -> None:
        self._storage = storage
        self._strategy = SlidingWindowCounterRateLimiter(storage)

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        item = RateLimitItemPerSecond(limit.calls, limit.seconds, namespace="attachery")
        granted = await self._strategy.hit(item, key)
        window = Window(*await self._storage.get_sliding_window(item.key_for(key), limit.seconds))
        return window.allowance(limit, granted=granted)


class SharedCounts:
    """Uses the shared counters, or this process's own while those do not answer."""

    def __init__(self, shared: Counts, own: Counts, unshared: Counter) -> None:
        self._shared = shared
        self._own = own
        self._unshared = unshared
        self._is_available = True
        self._next_try = 0.0

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        found = await self._take_shared(key, limit)
        if found is None:
            self._unshared.inc()
            found = await self._own.take(key, limit)
        return found

    async def _take_shared(self, key: str, limit: RateLimit) -> Allowance | None:
        if not self._is_available:
            if time.monotonic() < self._next_try:
                return None
            self._next_try = time.monotonic() + _RETRY_SECONDS
        try:
            async with asyncio.timeout(_TIMEOUT):
                found = await self._shared.take(key, limit)
        except (StorageError, OSError) as error:  # a TimeoutError is an OSError
            self._set_available(available=False, cause=error.__cause__ or error)
            return None
        self._set_available(available=True)
        return found

    def _set_available(self, *, available: bool, cause: BaseException | None = None) -> None:
        if available == self._is_available:
            return
        self._is_available = available
        if available:
            _log.info("rate limits shared again")
        else:
            self._next_try = time.monotonic() + _RETRY_SECONDS
            # The text may contain the URL with its password.
            _log.warning("rate limits not shared", cause=type(cause).__name__)


@asynccontextmanager
async def shared_counts(url: str, own: Counts, unshared: Counter) -> AsyncIterator[Counts]:
    """Open the shared counters; the first call connects to Redis. Raises RateLimitStoreError."""
    pool = _connection_pool(url)
    storage = RedisStorage(
        "async+redis://",
        wrap_exceptions=True,
        implementation="redispy",
        connection_pool=cast("Any", pool),  # the type stubs permit scalars only
    )
    try:
        yield SharedCounts(RedisCounts(storage), own, unshared)
    finally:
        await pool.disconnect()


def _connection_pool(url: str) -> BlockingConnectionPool:
    try:
        from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise RateLimitStoreError(
            "ATTACHERY_RATE_LIMIT_STORE needs the package redis, of the extra attachery[redis]"
        ) from error
    try:
        pool = BlockingConnectionPool.from_url(url, max_connections=_MAX_CONNECTIONS)
        pool.connection_class(**pool.connection_kwargs)  # validates the options; connects later
    except (ValueError, TypeError):
        # Without the cause, which may contain the URL with its password.
        raise RateLimitStoreError(
            "ATTACHERY_RATE_LIMIT_STORE: not the URL of a Redis, or with unknown options"
        ) from None
    return pool
