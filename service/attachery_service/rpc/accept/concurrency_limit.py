"""How many calls may be at work at a time: a limit that adapts to the latency of the calls.

The rule is that of FAST TCP (Jin, Wei, Low: "FAST TCP", INFOCOM 2004), used for concurrency by
Netflix's concurrency-limits (GradientLimit):

    limit = limit x min(1, TOLERANCE x best latency / latency) + QUEUE

Latency that grows beyond its best says that calls wait for each other, and the limit falls towards
QUEUE calls above what the service can work on at a time. While latency stays at its best, the limit
grows. Latencies are compared method by method, as a Complete takes longer than a Get.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Calls. 64 callers on one connection, and as many again whose answer is on its way out.
LEAST = 128
MOST = 1024

_QUEUE = 64
_TOLERANCE = 1.5
_SMOOTHING = 0.5
_CONGESTED = 0.8  # or less is the gradient at the limit where the CPU is saturated
_WINDOW_SECONDS = 0.1
_FEWEST_SAMPLES = 10
# The best latency is forgotten after one to two epochs: a dependency may have become slower.
_EPOCH_SECONDS = 30.0


@dataclass(slots=True)
class _Latency:
    """Of one method, in seconds. `best`, `best_before`: the least mean of a window, by epoch;
    `latest`: the mean of the last window."""

    total: float = 0.0
    count: int = 0
    best: float = float("inf")
    best_before: float = float("inf")
    latest: float = 0.0

    def close_window(self) -> float:
        """The best latency / that of the window that ends, at most 1."""
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        self.best, self.latest = min(self.best, mean), mean
        return min(1.0, _TOLERANCE * min(self.best, self.best_before) / mean)

    def begin_epoch(self) -> None:
        self.best_before, self.best = self.best, float("inf")


@dataclass(slots=True)
class ConcurrencyLimit:
    """The limit of one process; `value` in calls, between LEAST and MOST."""

    now: Callable[[], float] = time.monotonic
    value: int = LEAST
    _limit: float = LEAST
    _methods: dict[str, _Latency] = field(default_factory=dict)
    _samples: int = 0
    _busiest: int = 0
    _window_end: float = 0.0
    _epoch_end: float = 0.0

    def record(self, method: str, seconds: float, at_work: int) -> None:
        """Notes the time of one answered call, and how many were at work when it ended."""
        latency = self._methods.get(method)
        if latency is None:
            latency = self._methods[method] = _Latency()
        latency.total += seconds
        latency.count += 1
        self._samples += 1
        self._busiest = max(self._busiest, at_work)
        if self._samples >= _FEWEST_SAMPLES and (now := self.now()) >= self._window_end:
            self._adapt(now)

    def usual_time(self, method: str) -> float:
        """The mean time of the calls of this method in the latest window with any, in seconds."""
        latency = self._methods.get(method)
        return 0.0 if latency is None else latency.latest

    def _adapt(self, now: float) -> None:
        samples, busiest, self._samples, self._busiest = self._samples, self._busiest, 0, 0
        self._window_end = now + _WINDOW_SECONDS
        gradient = (
            sum(
                latency.count * latency.close_window()
                for latency in self._methods.values()
                if latency.count
            )
            / samples
        )
        if now >= self._epoch_end:
            self._begin_epoch(now, is_congested=gradient < _CONGESTED)
            return
        target = self._limit * gradient + _QUEUE
        # A limit that is not reached says nothing about more calls.
        if target < self._limit or busiest > self._limit / 2:
            self._limit += _SMOOTHING * (target - self._limit)
            self._limit = min(max(self._limit, LEAST), MOST)
            self.value = int(self._limit)

    def _begin_epoch(self, now: float, *, is_congested: bool) -> None:
        """Forgets the best latency of the epoch before the last one.

        Where calls wait for each other, starts over with the least limit: the best latency must not
        be that behind a standing queue, or the limit would grow from epoch to epoch.
        """
        self._epoch_end = now + _EPOCH_SECONDS
        for latency in self._methods.values():
            latency.begin_epoch()
        if is_congested:
            self._limit = self.value = LEAST
