"""Repeated work: its errors end nothing, and the end waits for the current round."""

from __future__ import annotations

import asyncio
import json

import pytest

from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.worker.loop import repeating

SOON = 0.001
NEVER = 100.0


class Work:
    """Follows its script, one entry a round, and then does nothing."""

    def __init__(self, *script: bool | Exception) -> None:
        self._script = list(script)
        self.is_over = asyncio.Event()

    async def __call__(self) -> bool:
        if not self._script:
            self.is_over.set()
            return True
        outcome = self._script.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def logged(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [(line["event"], line.get("reason", "")) for line in lines]


async def test_trouble_is_logged_when_it_begins_and_when_it_is_over(
    capfd: pytest.CaptureFixture[str],
) -> None:
    gone, bug = DatabaseUnavailable(), KeyError("the bug")
    work = Work(gone, gone, True, gone, bug, bug, True, True)
    async with repeating("test", work, SOON, NEVER), asyncio.timeout(20):
        await work.is_over.wait()
    failing = ("failing", "DATABASE_UNAVAILABLE")
    recovered = ("recovered", "")
    assert logged(capfd) == [failing, recovered, failing, ("bug", ""), recovered]


async def test_unfinished_work_continues_at_once() -> None:
    work = Work(False, False)
    async with repeating("test", work, NEVER, NEVER), asyncio.timeout(20):
        await work.is_over.wait()


@pytest.mark.parametrize(
    ("lasts", "drain_time", "expected", "warnings"),
    [
        (SOON, NEVER, ["asked", "ended"], []),
        (NEVER, SOON, ["asked"], [("work left undone", "")]),
    ],
)
async def test_the_end_waits_for_work_that_finishes_and_forces_work_that_does_not(
    capfd: pytest.CaptureFixture[str],
    lasts: float,
    drain_time: float,
    expected: list[str],
    warnings: list[tuple[str, str]],
) -> None:
    begun, heard = asyncio.Event(), list[str]()

    async def stubborn() -> bool:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            heard.append("asked")
            await asyncio.sleep(lasts)
            heard.append("ended")
        return True

    async with repeating("test", stubborn, SOON, drain_time):
        await begun.wait()
    assert heard == expected
    assert logged(capfd) == warnings
