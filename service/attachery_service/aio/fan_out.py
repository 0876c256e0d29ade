"""Fan-out: many slow operations within one deadline, a bounded number of them at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attachery_service.aio.deadline import set_time_left, time_left

CONCURRENCY = 8

# The part of the remaining time that is reserved for storing and returning the results, and its
# maximum in seconds.
_RESERVED_SHARE = 0.2
_MAX_RESERVED_SECONDS = 2.0

T = TypeVar("T")


async def bounded_gather(items: Sequence[T], act: Callable[[T], Awaitable[None]]) -> None:
    """Runs `act` on every item, CONCURRENCY at a time, and divides the remaining time fairly.

    Each item gets an equal share of the time that is left when it starts, so later items gain what
    quick ones do not use. `act` handles its own errors.
    """
    left = time_left(math.inf)
    end = time.monotonic() + left - min(left * _RESERVED_SHARE, _MAX_RESERVED_SECONDS)
    slots, waiting = asyncio.Semaphore(CONCURRENCY), len(items)

    async def run(item: T) -> None:
        nonlocal waiting
        async with slots:
            rounds = math.ceil(waiting / CONCURRENCY)
            waiting -= 1
            set_time_left((end - time.monotonic()) / rounds)
            await act(item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(run(item))
