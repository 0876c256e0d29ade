"""Work that outlives the call it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from attachery_service.domain.deadline import context_without_deadline

T = TypeVar("T")


class Background:
    """Owns every task that is not awaited by a call, so that shutting down can wait for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which runs to its end even if the caller goes away meanwhile."""
        return await asyncio.shield(self._start(work))

    def leave(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` with nobody waiting. It must handle its own errors."""
        self._start(work)

    async def drain(self, seconds: float) -> bool:
        """Waits for all of it, and for what it starts in turn; False if some was left after
        `seconds`."""
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
        if not task.cancelled():
            task.exception()  # fetched: whoever waited has it, and nobody else wants a warning
