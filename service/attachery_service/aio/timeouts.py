"""Bounds to what may take long, watched over by one timer for all of them.

`asyncio.timeout` makes a timer for each block and takes it away again, for as good as none of them
ever fires. Here a block is an entry in a dict, which is looked through while there are any: a sixth
of the cost, and a call enters three of them.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any

# Nobody who waits for an answer can tell the difference.
_LOOK_SECONDS = 0.02


def within(seconds: float) -> TimeLimit:
    """A block that raises TimeoutError when it takes longer, by up to a fiftieth of a second more.

    Only what is awaited can be cut short. Cancellations from elsewhere pass through. As with
    `asyncio.timeout`, which is the better one where something must end to the millisecond.
    """
    return TimeLimit(seconds)


class TimeLimit:
    """One block of one task."""

    __slots__ = ("_cancelling", "_over", "_seconds", "_task", "_watch")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = _running(loop)
        self._cancelling = self._task.cancelling()
        self._watch = _watch_of(loop)
        self._watch.begin(self, time.monotonic() + self._seconds)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watch.end(self)
        if not self._over:
            return
        # Unless somebody else has cancelled it meanwhile: that must get through.
        own = self._task.uncancel() <= self._cancelling
        if own and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def pass_over(self) -> None:
        """Its time is over."""
        self._over = True
        self._task.cancel()


class _Watch:
    """Over the blocks of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ends: dict[TimeLimit, float] = {}
        self._looking = False

    def begin(self, limit: TimeLimit, end: float) -> None:
        self._ends[limit] = end
        if not self._looking:
            self._look_later()

    def end(self, limit: TimeLimit) -> None:
        self._ends.pop(limit, None)

    def _look_later(self) -> None:
        self._looking = True
        self.loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for limit in [limit for limit, end in self._ends.items() if end <= now]:
            del self._ends[limit]
            limit.pass_over()
        self._looking = False
        if self._ends:
            self._look_later()


# A process has one loop; tests have many, one after the other.
_latest: _Watch | None = None


def _watch_of(loop: asyncio.AbstractEventLoop) -> _Watch:
    global _latest  # noqa: PLW0603 - of the loop that runs
    if _latest is None or _latest.loop is not loop:
        _latest = _Watch(loop)
    return _latest


def _running(loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
    task = asyncio.current_task(loop)
    if task is None:
        raise RuntimeError("only a task can be cut short")
    return task
