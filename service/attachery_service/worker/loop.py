"""Repeats one background job."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from attachery_service.domain.errors import AttacheryError

_log = structlog.get_logger("attachery.worker")

# A share of the interval: random pauses spread processes that started at the same time.
_LEAST_PAUSE = 0.5

Work = Callable[[], Awaitable[bool]]


@asynccontextmanager
async def repeating(
    name: str, work: Work, interval: float, drain_time: float
) -> AsyncIterator[None]:
    """Repeats `work` during the block, at least every `interval` seconds.

    `work` returns whether it is done; if not, it is repeated at once. Its errors are logged, when
    they begin and when they end, and do not end the loop. At the end of the block it is cancelled,
    and again after `drain_time` seconds if it is still running.
    """
    task = asyncio.create_task(_repeat(name, work, interval))
    try:
        yield
    finally:
        await _end(task, drain_time)


async def _repeat(name: str, work: Work, interval: float) -> None:
    trouble = ""
    while True:
        is_done = True
        try:
            is_done = await work()
        except AttacheryError as error:
            trouble = _noted(name, trouble, error.reason)
        except Exception as error:  # the next round may succeed
            trouble = _noted(name, trouble, type(error).__name__, bug=error)
        else:
            if trouble:
                _log.info("recovered", work=name)
            trouble = ""
        pause = interval * random.uniform(_LEAST_PAUSE, 1)  # noqa: S311 - it only spreads
        await asyncio.sleep(pause if is_done else 0)


def _noted(name: str, before: str, now: str, bug: Exception | None = None) -> str:
    if now != before and bug is not None:
        _log.error("bug", work=name, exc_info=bug)
    elif now != before:
        _log.warning("failing", work=name, reason=now)
    return now


async def _end(task: asyncio.Task[None], drain_time: float) -> None:
    task.cancel()
    if not (await asyncio.wait([task], timeout=drain_time))[0]:
        _log.warning("work left undone")
        task.cancel()
        await asyncio.wait([task])
