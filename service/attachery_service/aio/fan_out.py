"""Many waits on something outside within one deadline: a few at a time, each with its share."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attachery_service.aio.deadline import set_time_left, time_left

AT_A_TIME = 8

# Kept back for storing and telling what came out: a part of the time, up to so many seconds.
_KEPT_BACK = 0.2
_MOST_KEPT_BACK = 2.0

T = TypeVar("T")


async def share_time(things: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Acts on each, and gives no one more time than leaves as much for each that waits.

    What the quick ones leave over, the later ones get. `act` handles its own errors.
    """
    left = time_left(math.inf)
    end = time.monotonic() + left - min(left * _KEPT_BACK, _MOST_KEPT_BACK)
    places, waiting = asyncio.Semaphore(AT_A_TIME), len(things)

    async def run(thing: T) -> None:
        nonlocal waiting
        async with places:
            rounds = math.ceil(waiting / AT_A_TIME)
            waiting -= 1
            set_time_left((end - time.monotonic()) / rounds)
            await act(thing)

    async with asyncio.TaskGroup() as group:
        for thing in things:
            group.create_task(run(thing))
