"""The sweep as a background job, with its metrics and its log."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from attachery_service.domain.sweeping import SweepEvent
from attachery_service.usecases.maintenance.sweep import Sweep

_log = structlog.get_logger("attachery.worker")

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class SweepMetrics:
    """The results of sweeps, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sessions = Counter(
            "attachery_sweep_sessions",
            "Changes of sessions by the sweep; failed_deletes counts objects.",
            ["what"],
            registry=registry,
        )
        for event in SweepEvent:
            self._sessions.labels(event)
        self.round_seconds = Histogram(
            "attachery_sweep_round_seconds",
            "Duration of a round.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.lag = Gauge(
            "attachery_sweep_lag_seconds",
            "Delay of the longest due session at the beginning of a round.",
            registry=registry,
        )
        self.last_success = Gauge(
            "attachery_sweep_last_success_timestamp_seconds",
            "Time at which a round last completed in the database.",
            registry=registry,
        )

    def observe(self, event: SweepEvent, count: int) -> None:
        self._sessions.labels(event).inc(count)


@dataclass(frozen=True, slots=True)
class SweepWork:
    """Runs one round of the sweep."""

    sweep: Sweep
    metrics: SweepMetrics

    async def __call__(self) -> bool:
        """Returns whether nothing more is due. Raises DatabaseUnavailable."""
        with self.metrics.round_seconds.time():
            done = await self.sweep()
        self.metrics.lag.set(done.lag.total_seconds())
        self.metrics.last_success.set(time.time())
        if done.deferred:
            _log.warning("put off", count=done.deferred.total(), reasons=dict(done.deferred))
        return done.is_done
