"""Arrivals that wait to be looked at: so many at most, and none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter

from attachery_service.aio.deadline import set_time_left
from attachery_service.domain.object_created import (
    NotificationKind,
    NotificationOutcome,
    ObjectCreated,
)
from attachery_service.usecases.maintenance.handle_object_created import HandleObjectCreated

_log = structlog.get_logger("attachery.notifications")

_MOST_WAITING = 10_000
_AT_A_TIME = 4
# As the sweep gives a session: past it, the sweep may come to it itself.
_SECONDS_EACH = 30.0


class NotificationMetrics:
    """What notifications come to, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._notifications = Counter(
            "attachery_notifications",
            "What became of the store's notifications, by object or by refused message.",
            ["outcome"],
            registry=registry,
        )
        self._kinds = Counter(
            "attachery_notifications_received",
            "Notifications by their form, unwrapped from SNS, SQS and EventBridge.",
            ["kind"],
            registry=registry,
        )
        for outcome in NotificationOutcome:
            self._notifications.labels(outcome)
        for kind in NotificationKind:
            self._kinds.labels(kind)

    def count_kinds(self, kinds: Mapping[NotificationKind, int]) -> None:
        for kind, number in kinds.items():
            self._kinds.labels(kind).inc(number)

    def count(self, outcome: NotificationOutcome, by: int = 1) -> None:
        self._notifications.labels(outcome).inc(by)


class Arrivals:
    """Looked at a few at a time, in the order in which they came.

    What still waits when the process ends is not lost: the sweep completes those sessions.
    """

    def __init__(
        self,
        notice: HandleObjectCreated,
        metrics: NotificationMetrics,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self.metrics = metrics
        self._notice = notice
        self._most_waiting = most_waiting
        self._queue = asyncio.Queue[ObjectCreated]()
        self._waiting = set[ObjectCreated]()

    def take(self, arrivals: Sequence[ObjectCreated]) -> bool:
        """Whether there was room for all; if not, none was taken."""
        new = [arrival for arrival in dict.fromkeys(arrivals) if arrival not in self._waiting]
        if len(self._waiting) + len(new) > self._most_waiting:
            return False
        for arrival in new:
            self._queue.put_nowait(arrival)
        self._waiting.update(new)
        self.metrics.count(NotificationOutcome.DUPLICATE, len(arrivals) - len(new))
        return True

    @asynccontextmanager
    async def being_looked_at(self) -> AsyncIterator[None]:
        """For as long as the block runs."""
        tasks = [asyncio.create_task(self._work()) for _ in range(_AT_A_TIME)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _look_at(self, arrival: ObjectCreated) -> None:
        """Completes its session, if that waits for it, in its own time."""
        set_time_left(_SECONDS_EACH)
        outcome = await self._notice(arrival)
        self.metrics.count(outcome)
        _log.debug("notification", outcome=outcome.value, attachment_id=str(arrival.attachment_id))

    async def _work(self) -> None:
        while True:
            arrival = await self._queue.get()
            # What is said of it from now on may be about other bytes.
            self._waiting.discard(arrival)
            try:
                await self._look_at(arrival)
            except Exception as error:  # the next one may do better
                _log.error("bug", exc_info=error)
