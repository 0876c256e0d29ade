"""Sliding-window counters.

A window consists of two counters: one for the current period, and one for the previous period,
whose weight falls as the current period passes. It needs the same memory for a limit of ten and of
a million, and in Redis it depends on Redis's clock alone; a log of all calls would do neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from attachery_service.domain.rates import Allowance, RateLimit

# Redis reports times in whole milliseconds; a caller that waits as told must not come too early.
_CLOCK_RESOLUTION = timedelta(milliseconds=2)


class Counts(Protocol):
    """Counts calls by key."""

    async def take(self, key: str, limit: RateLimit) -> Allowance:
        """Count one call, unless the limit is reached."""


@dataclass(frozen=True, slots=True)
class Window:
    """Both counters, and the seconds until each expires: the current one lives a period longer."""

    previous: int
    previous_ends: float
    current: int
    current_ends: float

    def allowance(self, limit: RateLimit, *, granted: bool) -> Allowance:
        """Describe the state of the limit after a call that was granted or refused."""
        used = self.used(limit.seconds)
        wait = timedelta(seconds=self._wait(limit.seconds)) + _CLOCK_RESOLUTION
        return Allowance(
            limit=limit,
            granted=granted,
            remaining=max(limit.calls - used, 0) if granted else 0,
            wait=wait if used else timedelta(),
        )

    def used(self, period: int) -> int:
        return math.floor(self._weighted_previous(period)) + self.current

    def _wait(self, period: int) -> float:
        """Seconds until `used` falls by one."""
        weighted = self._weighted_previous(period)
        if weighted >= 1:
            return (weighted - math.floor(weighted)) * period / self.previous
        # From the end of its period on, the current counter loses weight as well.
        return max(self.current_ends - period, 0.0)

    def _weighted_previous(self, period: int) -> float:
        return self.previous * self.previous_ends / period
