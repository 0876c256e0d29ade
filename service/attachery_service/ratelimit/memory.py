"""Counts of this process alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from limits.aio.storage import MemoryStorage

from attachery_service.domain.rates import Allowance, RateLimit
from attachery_service.ratelimit.sliding_window import Counts, SlidingWindows

# At half a kilobyte each. Beyond it the oldest are forgotten: better a caller who is let through
# than a process that grows with every tenant somebody makes up.
MAX_COUNTERS = 50_000

_SWEEP_INTERVAL = 10.0


class MemoryCounts:
    """At most MAX_COUNTERS, two for each key."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._windows = SlidingWindows(storage)

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        while len(self._storage.expirations) >= MAX_COUNTERS:
            await self._storage.clear(next(iter(self._storage.expirations)))
        return await self._windows.take(key, limit)


@asynccontextmanager
async def memory_counts() -> AsyncIterator[Counts]:
    storage = MemoryStorage()
    # Left to itself it looks through all counters at every call; while its timer runs it does not.
    storage.timer = asyncio.create_task(_sweep(storage))
    try:
        yield MemoryCounts(storage)
    finally:
        storage.timer.cancel()


async def _sweep(storage: MemoryStorage) -> None:
    while True:
        await asyncio.sleep(_SWEEP_INTERVAL)
        await forget_expired(storage)


async def forget_expired(storage: MemoryStorage) -> None:
    now = time.time()
    for key in [key for key, end in storage.expirations.items() if end <= now]:
        await storage.clear(key)
