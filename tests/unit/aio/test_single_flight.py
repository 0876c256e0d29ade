"""Concurrent callers share one read in progress, its result and its failure."""

from __future__ import annotations

import asyncio
import gc
import math
from dataclasses import dataclass, field

import pytest

from attachery_service.aio.single_flight import SingleFlight
from attachery_service.domain.errors import DatabaseUnavailable


@dataclass
class Source:
    """A read that waits until it is released."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    reads: list[str] = field(default_factory=list)

    async def read(self, key: str) -> str:
        self.reads.append(key)
        await self.released.wait()
        if self.error is not None:
            raise self.error
        return key.upper()


async def joined(flight: SingleFlight[str, str], *keys: str) -> list[asyncio.Task[str]]:
    async def value(key: str) -> str:
        return (await flight.get(key))[0]

    tasks = [asyncio.create_task(value(key)) for key in keys]
    for _ in range(2):
        await asyncio.sleep(0)
    return tasks


async def test_callers_of_one_key_share_a_read() -> None:
    source = Source()
    tasks = await joined(SingleFlight(source.read, math.inf), "a", "b", "a", "a")
    source.released.set()
    assert await asyncio.gather(*tasks) == ["A", "B", "A", "A"]
    assert source.reads == ["a", "b"]


async def test_a_failure_answers_all_callers_each_with_an_error_of_its_own() -> None:
    cause = OSError("down")
    source = Source(error=DatabaseUnavailable())
    assert source.error is not None
    source.error.__cause__ = cause
    flight = SingleFlight(source.read, math.inf)
    tasks = await joined(flight, *"aaa")
    source.released.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [DatabaseUnavailable] * 3
    assert len({id(error) for error in found}) == 3
    assert [error.__cause__ for error in found if isinstance(error, Exception)] == [cause] * 3
    assert source.reads == ["a"]
    source.error = None
    (again,) = await joined(flight, "a")
    assert await again == "A"


async def test_a_caller_that_leaves_does_not_end_the_read_of_the_others() -> None:
    source = Source()
    first, second = await joined(SingleFlight(source.read, math.inf), "a", "a")
    first.cancel()
    await asyncio.sleep(0)
    source.released.set()
    assert await second == "A"
    assert source.reads == ["a"]


async def test_a_failure_without_waiting_callers_is_silent() -> None:
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    source = Source(error=KeyError("a bug"))
    (only,) = await joined(SingleFlight(source.read, math.inf), "a")
    only.cancel()
    source.released.set()
    with pytest.raises(asyncio.CancelledError):
        await only
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []


async def test_a_read_that_began_too_long_ago_is_not_joined() -> None:
    source = Source()
    tasks = await joined(SingleFlight(source.read, 0.0), "a", "a")
    source.released.set()
    assert await asyncio.gather(*tasks) == ["A", "A"]
    assert source.reads == ["a", "a"]
