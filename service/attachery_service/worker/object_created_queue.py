"""A bounded queue of notifications about created objects, without duplicates."""

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
# The sweep's limit for one session: after that, the sweep may process it itself.
_SECONDS_EACH = 30.0


class NotificationMetrics:
    """Counts the results of notifications, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._notifications = Counter(
            "attachery_notifications",
            "Results of object storage's notifications, by object or by refused message.",
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


class ObjectCreatedQueue:
    """Processes notifications in their order of arrival, a few at a time.

    Those in the queue when the process stops are not lost: the sweep completes their sessions.
    """

    def __init__(
        self,
        handle: HandleObjectCreated,
        metrics: NotificationMetrics,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self.metrics = metrics
        self._handle = handle
        self._most_waiting = most_waiting
        self._queue = asyncio.Queue[ObjectCreated]()
        self._waiting = set[ObjectCreated]()

    def put(self, notifications: Sequence[ObjectCreated]) -> bool:
        """Queues all notifications, or returns False if there is not enough room for them."""
        new = [each for each in dict.fromkeys(notifications) if each not in self._waiting]
        if len(self._waiting) + len(new) > self._most_waiting:
            return False
        for notification in new:
            self._queue.put_nowait(notification)
        self._waiting.update(new)
        self.metrics.count(NotificationOutcome.DUPLICATE, len(notifications) - len(new))
        return True

    @asynccontextmanager
    async def processing(self) -> AsyncIterator[None]:
        """Processes the queue during the block."""
        tasks = [asyncio.create_task(self._process_all()) for _ in range(_AT_A_TIME)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _process(self, notification: ObjectCreated) -> None:
        """Completes the session, if it is waiting for the object, within its own time limit."""
        set_time_left(_SECONDS_EACH)
        outcome = await self._handle(notification)
        self.metrics.count(outcome)
        _log.debug(
            "notification", outcome=outcome.value, attachment_id=str(notification.attachment_id)
        )

    async def _process_all(self) -> None:
        while True:
            notification = await self._queue.get()
            # A later notification may be about other bytes.
            self._waiting.discard(notification)
            try:
                await self._process(notification)
            except Exception as error:  # the next notification may succeed
                _log.error("bug", exc_info=error)
