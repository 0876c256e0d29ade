"""Step `deadline`."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from attachery_service.aio.deadline import time_left
from attachery_service.rpc.pipeline.deadline import SetDeadline, time_limit
from support.pipeline_calls import Rpc, call


def test_the_callers_deadline_counts_up_to_the_longest_time() -> None:
    calls = [call(rpc=Rpc(remaining=remaining)) for remaining in (None, 2.0, 60.0)]
    SetDeadline(5.0).process(calls)
    now = time.monotonic()
    assert [each.deadline - now for each in calls] == pytest.approx([5.0, 2.0, 5.0], abs=0.5)


async def test_the_latest_deadline_ends_the_calls() -> None:
    calls = [call(deadline=time.monotonic() + seconds) for seconds in (0.0, 0.05)]

    async def wait() -> None:
        with time_limit(calls):
            assert 0.0 < time_left(math.inf) < 0.05  # less, to leave time for the response
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


async def test_a_stream_without_a_deadline_has_no_time_limit() -> None:
    stream = call(rpc=Rpc())
    SetDeadline(math.inf).process([stream])
    with time_limit([stream]):
        assert time_left(math.inf) == math.inf
