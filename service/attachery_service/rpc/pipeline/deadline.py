"""Step `deadline`: bounds the time that calls may take."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from attachery_service.aio.deadline import set_time_left
from attachery_service.aio.timeouts import coarse_timeout
from attachery_service.rpc.pipeline.calls import Call

# A response needs a moment to reach its caller before the caller stops waiting.
_MARGIN: Final = 0.05

_deadline_of = attrgetter("deadline")


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Sets the caller's deadline, or `longest` seconds from now if that is earlier."""

    longest: float

    def process(self, calls: Sequence[Call]) -> None:
        now = time.monotonic()
        for call in calls:
            # `time_remaining` returns None if the caller set no deadline; the stubs say float.
            remaining: float | None = call.rpc.time_remaining()
            call.deadline = now + (
                self.longest if remaining is None else min(remaining, self.longest)
            )


def time_limit(calls: Sequence[Call]) -> AbstractContextManager[None]:
    """A block that raises TimeoutError at the latest deadline of the calls.

    Within the block, waits for dependencies end a little earlier.
    """
    seconds = max(map(_deadline_of, calls)) - time.monotonic()
    if seconds == math.inf:
        return nullcontext()
    set_time_left(seconds - min(_MARGIN, seconds / 2))
    return coarse_timeout(seconds)
