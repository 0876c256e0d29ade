"""Tasks that outlive the call that started them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attachery_service.aio.deadline import context_without_deadline, database_budget
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.domain.errors import AttacheryError, DatabaseUnavailable

T = TypeVar("T")


class BackgroundTasks:
    """Owns every task that no call awaits to its end, so that a shutdown can wait for them.

    `on_bug` receives each error that no caller would see. `database_timeout`: seconds that one
    call may wait for the database, over all its statements.
    """

    def __init__(self, on_bug: Callable[[BaseException], None], database_timeout: float) -> None:
        self._on_bug = on_bug
        self._timeout = database_timeout
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run_to_completion(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns the result of `work`, which continues if its caller is cancelled.

        `work` waits for the database only. It has a database budget of its own, so a slow database
        does not lose the outcome; the caller waits no longer than the rest of its own budget.
        Raises DatabaseUnavailable.
        """
        task = self._start(work)
        try:
            with database_budget() as budget, coarse_timeout(budget.left(self._timeout)):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise DatabaseUnavailable from error

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the background. It must handle its own errors."""
        self._start(work)

    async def drain(self, seconds: float) -> bool:
        """Waits for all tasks, and for those they start; False if some are left after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, context=context_without_deadline())
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, AttacheryError):
            self._on_bug(error)  # the caller may have been cancelled
