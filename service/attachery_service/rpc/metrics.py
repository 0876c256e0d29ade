"""Prometheus metrics of the calls."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RpcMetrics:
    """Counts and times calls. Labels have the service's own names only: no caller adds series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "attachery_rpcs", "Calls answered.", ["method", "code", "reason"], registry=registry
        )
        self._seconds = Histogram(
            "attachery_rpc_seconds",
            "Time until a call is answered, in seconds.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "attachery_rpcs_in_flight",
            "Calls in progress.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        # Looking a child up by its labels takes longer than counting.
        self._count = cache(self._calls.labels)
        self._time = cache(self._seconds.labels)

    def answered(self, method: str, code: str, reason: str, seconds: float) -> None:
        self._count(method, code, reason).inc()
        self._time(method).observe(seconds)

    def ended(self, method: str, code: str, reason: str) -> None:
        """Counts a stream."""
        self._count(method, code, reason).inc()
