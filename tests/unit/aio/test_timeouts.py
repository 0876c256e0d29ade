"""A block under the shared timer ends like one under `asyncio.timeout`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from attachery_service.aio.timeouts import coarse_timeout

Bound = Callable[[float], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def shared(seconds: float) -> AsyncIterator[None]:
    with coarse_timeout(seconds):
        yield


@asynccontextmanager
async def own(seconds: float) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds):
        yield


either = pytest.mark.parametrize("bound", [shared, own])


async def for_ever() -> None:
    await asyncio.Event().wait()


@either
async def test_a_block_that_waits_too_long_times_out(bound: Bound) -> None:
    with pytest.raises(TimeoutError):
        async with bound(0):
            await for_ever()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@either
async def test_a_block_that_ends_in_time_and_its_successor_do_not_time_out(bound: Bound) -> None:
    async with bound(0):
        pass
    with pytest.raises(TimeoutError):
        async with bound(0):
            await for_ever()


@either
async def test_the_nearer_of_two_timeouts_ends_its_own_block_only(
    bound: Bound,
) -> None:
    ended = []
    async with bound(60):
        try:
            async with bound(0):
                await for_ever()
        except TimeoutError:
            ended.append("inner")
        await asyncio.sleep(0)
        ended.append("outer")
    assert ended == ["inner", "outer"]


@either
async def test_an_outer_bound_is_not_taken_for_an_inner_one(bound: Bound) -> None:
    ended = []

    async def work() -> None:
        async with bound(0):
            try:
                async with bound(60):
                    await for_ever()
            except TimeoutError:
                ended.append("inner")

    with pytest.raises(TimeoutError):
        await work()
    assert ended == []


@either
async def test_a_cancellation_from_elsewhere_passes_through(bound: Bound) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with bound(60):
            begun.set()
            await for_ever()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@either
async def test_a_cancellation_from_elsewhere_wins_over_a_time_that_is_over_too(
    bound: Bound,
) -> None:
    over = asyncio.Event()

    async def work() -> None:
        async with bound(0):
            try:
                await for_ever()
            except asyncio.CancelledError:
                over.set()
                await for_ever()

    task = asyncio.create_task(work())
    await over.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@either
async def test_a_block_raises_its_own_error_even_after_its_timeout(
    bound: Bound,
) -> None:
    async def work() -> None:
        async with bound(0):
            try:
                await for_ever()
            except asyncio.CancelledError:
                raise KeyError from None

    with pytest.raises(KeyError):
        await work()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_each_loop_has_its_own_timer() -> None:
    async def cut_short() -> bool:
        try:
            with coarse_timeout(0):
                await for_ever()
        except TimeoutError:
            return True
        return False

    assert all(asyncio.run(cut_short()) for _ in range(3))
