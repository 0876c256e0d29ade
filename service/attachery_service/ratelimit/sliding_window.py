"""Sliding windows over the storages of `limits`.

A window is two counters: of the current period, and of the one before, which weighs less the
further the current one has gone on. That takes the same room for a limit of ten and of a million,
and in Redis it goes by Redis's clock alone; an exact log of calls would do neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from attachery_service.domain.rates import Allowance, RateLimit

# Redis tells times in whole milliseconds; a caller who waits as told must not come too early.
_GRAIN = timedelta(milliseconds=2)


class Counts(Protocol):
    """Counts calls by key."""

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        """Counts one call, unless the limit is reached."""


class SlidingWindows:
    """Counts in one storage."""

    def __init__(self, storage: MemoryStorage | RedisStorage) -> None:
        self._storage = storage
        self._strategy = SlidingWindowCounterRateLimiter(storage)

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        item = RateLimitItemPerSecond(limit.calls, limit.seconds, namespace="attachery")
        granted = await self._strategy.hit(item, key)
        window = _Window(*await self._storage.get_sliding_window(item.key_for(key), limit.seconds))
        used = window.used(limit.seconds)
        return Allowance(
            limit=limit,
            granted=granted,
            remaining=max(limit.calls - used, 0) if granted else 0,
            wait=timedelta(seconds=window.wait(limit.seconds)) + _GRAIN if used else timedelta(),
        )


@dataclass(frozen=True, slots=True)
class _Window:
    """Two counters, and the seconds until each is dropped: the current one lives a period more."""

    previous: int
    previous_ends: float
    current: int
    current_ends: float

    def used(self, period: int) -> int:
        return math.floor(self._left_over(period)) + self.current

    def wait(self, period: int) -> float:
        """Seconds until `used` is less by one."""
        left_over = self._left_over(period)
        if left_over >= 1:
            return (left_over - math.floor(left_over)) * period / self.previous
        # From the end of its period on, the current counter loses weight as well.
        return max(self.current_ends - period, 0.0)

    def _left_over(self, period: int) -> float:
        return self.previous * self.previous_ends / period
