"""The limit of concurrent calls, which adapts to their latency.

The rule is that of FAST TCP (Jin, Wei, Low: "FAST TCP", INFOCOM 2004), used for concurrency by
Netflix's concurrency-limits (GradientLimit):

    limit = limit x min(1, TOLERANCE x best latency / latency) + QUEUE

Latency above its best means that calls wait for each other, and the limit falls towards QUEUE calls
above the number that the service can process concurrently. While latency stays at its best, the
limit grows. Latencies are compared per method, as a Complete takes longer than a Get.

Part of load shedding: `admission` states the gain and the switch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Calls: 64 callers on one connection, and 64 calls with a response that is being sent.
LEAST = 128
MOST = 1024

_QUEUE = 64
_TOLERANCE = 1.5
_SMOOTHING = 0.5
_CONGESTED = 0.8  # at the limit, the gradient is at most this if the CPU is saturated
_WINDOW_SECONDS = 0.1
_FEWEST_SAMPLES = 10
# The best latency expires after one to two epochs: a dependency may have become slower.
_EPOCH_SECONDS = 30.0


@dataclass(slots=True)
class _Latency:
    """Latency of one method, in seconds.

    `best`, `best_before`: the least mean of a window in this epoch and in the previous one;
    `latest`: the mean of the last window.
    """

    total: float = 0.0
    count: int = 0
    best: float = float("inf")
    best_before: float = float("inf")
    latest: float = 0.0

    def close_window(self) -> float:
        """The best latency divided by that of the closed window, at most 1."""
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        self.best, self.latest = min(self.best, mean), mean
        return min(1.0, _TOLERANCE * min(self.best, self.best_before) / mean)

    def begin_epoch(self) -> None:
        self.best_before, self.best = self.best, float("inf")


@dataclass(slots=True)
class ConcurrencyLimit:
    """The limit of one process.

    `value`: calls, between LEAST and MOST.
    """

    now: Callable[[], float] = time.monotonic
    value: int = LEAST
    _limit: float = LEAST
    _methods: dict[str, _Latency] = field(default_factory=dict)
    _samples: int = 0
    _busiest: int = 0
    _window_end: float = 0.0
    _epoch_end: float = 0.0

    def record(self, method: str, seconds: float, at_work: int) -> None:
        """Records the time of one answered call, and the calls in progress at its end."""
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
        """The method's mean time in its latest window with calls, in seconds."""
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
        # Latency below the limit does not show that more calls would be as fast.
        if target < self._limit or busiest > self._limit / 2:
            self._limit += _SMOOTHING * (target - self._limit)
            self._limit = min(max(self._limit, LEAST), MOST)
            self.value = int(self._limit)

    def _begin_epoch(self, now: float, *, is_congested: bool) -> None:
        """Drops the best latency of the epoch before the last one.

        If calls wait for each other, restarts from the least limit: measured behind a standing
        queue, the best latency would let the limit grow from epoch to epoch.
        """
        self._epoch_end = now + _EPOCH_SECONDS
        for latency in self._methods.values():
            latency.begin_epoch()
        if is_congested:
            self._limit = self.value = LEAST
