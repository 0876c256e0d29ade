"""One time budget per dependency and call, shared by all the call's requests to it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest

from attachery_service.aio import deadline
from attachery_service.aio.deadline import (
    WaitBudget,
    confirmation_budget,
    context_without_deadline,
    database_budget,
    renew_budgets,
    set_time_left,
    storage_budget,
    time_left,
    transfer_budget,
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(deadline, "time", clock)
    yield clock
    # Tests without a coroutine share one context with all others.
    deadline._call_time.set(None)


def test_waits_that_follow_one_another_are_added_up(clock: Clock) -> None:
    budget = WaitBudget(math.inf)
    with budget:
        clock.now += 2
        assert budget.left(5) == 3
    clock.now += 100  # spent on something else
    with budget:
        assert budget.left(5) == 3
        clock.now += 4
        assert budget.left(5) == -1


def test_waits_at_the_same_time_count_once(clock: Clock) -> None:
    budget = WaitBudget(math.inf)
    with budget:
        clock.now += 1
        with budget:
            clock.now += 1
        clock.now += 1
    assert budget.left(5) == 2


def test_a_nearer_deadline_bounds_a_wait(clock: Clock) -> None:
    set_time_left(3)
    assert database_budget().left(5) == 3
    clock.now += 1
    assert (time_left(10), database_budget().left(5), storage_budget().left(1)) == (2, 2, 1)


def test_each_dependency_has_a_budget_of_its_own(clock: Clock) -> None:
    set_time_left(100)
    with database_budget():
        clock.now += 2
    assert database_budget().left(5) == 3
    others = (storage_budget(), transfer_budget(), confirmation_budget())
    assert [budget.left(5) for budget in others] == [5, 5, 5]


def test_new_budgets_leave_the_deadline_as_it_is(clock: Clock) -> None:
    set_time_left(100)
    with database_budget():
        clock.now += 2
    renew_budgets()
    assert (database_budget().left(5), time_left(1000)) == (5, 98)


def test_work_that_outlives_its_call_has_budgets_of_its_own_and_no_deadline(clock: Clock) -> None:
    set_time_left(1)
    with database_budget():
        clock.now += 2
    context = context_without_deadline()
    assert context.run(lambda: (database_budget().left(5), time_left(1000))) == (5, 1000)
    assert time_left(1000) == -1


async def test_outside_of_calls_every_wait_has_the_whole_limit(clock: Clock) -> None:
    async def wait() -> float:
        with database_budget() as budget:
            clock.now += 4
            return budget.left(5)

    assert [await asyncio.create_task(wait()) for _ in range(2)] == [1, 1]
