"""How long calls may take, watched over by one timer for all of them.

`asyncio.timeout` makes a timer for each call, and takes it away again: as good as none ever fires.
Here a call at work is an entry in a dict, which is looked through while there are any.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any

# A caller waits for its answer about as precisely.
_LOOK_SECONDS = 0.02


class TimeLimits:
    """For the calls of one server, on the loop that runs. `longest` bounds each, in seconds."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self._loop = asyncio.get_running_loop()
        self._limits: dict[TimeLimit, float] = {}  # and when each ends
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> TimeLimit:
        """A block that raises TimeoutError when it takes longer, by up to a fiftieth of a second
        more; cancellations from elsewhere pass through, as with `asyncio.timeout`."""
        return TimeLimit(self, seconds)

    def begin(self, limit: TimeLimit, seconds: float) -> asyncio.Task[Any]:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can be cut short")
        self._limits[limit] = time.monotonic() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
        return task

    def end(self, limit: TimeLimit) -> None:
        self._limits.pop(limit, None)

    def _look(self) -> None:
        now = time.monotonic()
        for limit in [limit for limit, end in self._limits.items() if end <= now]:
            del self._limits[limit]
            limit.pass_over()
        again = bool(self._limits)
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look) if again else None


class TimeLimit:
    """One block of one task."""

    __slots__ = ("_cancelling", "_limits", "_over", "_seconds", "_task")

    def __init__(self, limits: TimeLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self._over = False

    def __enter__(self) -> None:
        self._task = self._limits.begin(self, self._seconds)
        self._cancelling = self._task.cancelling()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._limits.end(self)
        if not self._over:
            return
        # Unless somebody else has cancelled it meanwhile: that must get through.
        own = self._task.uncancel() <= self._cancelling
        if own and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error

    def pass_over(self) -> None:
        """The time is over."""
        self._over = True
        self._task.cancel()
