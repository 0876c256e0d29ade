"""The limit grows while calls are fast, and falls when they wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from attachery_service.rpc.accept.concurrency_limit import LEAST, MOST, ConcurrencyLimit

WINDOW = 0.1
EPOCH = 30.0


@dataclass
class Clock:
    time: float = 0.0

    def __call__(self) -> float:
        return self.time


class Load:
    """Calls that end in windows of 0.1 s, with as many at work as the limit allows."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limit = ConcurrencyLimit(self.clock)

    def run(
        self,
        seconds: float,
        latency: Callable[[int], float],
        *,
        share: float = 1.0,
        method: str = "Get",
    ) -> int:
        """Returns the limit after `seconds` of calls that take `latency(calls in progress)`."""
        end = self.clock.time + seconds
        while self.clock.time < end:
            at_work = int(self.limit.value * share)
            for _ in range(100):
                self.limit.record(method, latency(at_work), at_work)
            self.clock.time += WINDOW
        return self.limit.value


@pytest.fixture
def load() -> Load:
    return Load()


def test_it_grows_to_the_most_while_latency_does_not(load: Load) -> None:
    assert load.limit.value == LEAST
    assert load.run(5, lambda _: 0.2) == MOST


def test_it_falls_when_calls_take_longer_than_they_did_with_fewer_at_work(load: Load) -> None:
    assert load.run(5, lambda _: 0.2) == MOST
    assert load.run(5, lambda _: 4.0) < 2 * LEAST


def test_it_stays_near_the_least_where_latency_grows_with_the_calls_at_work(load: Load) -> None:
    """As on a saturated CPU: twice the concurrent calls take twice the time."""
    load.run(1, lambda _: 0.001, share=0.01)
    for _ in range(10):
        assert LEAST <= load.run(EPOCH, lambda at_work: at_work / 2_000) <= 3 * LEAST


def test_it_stays_where_calls_only_wait_for_something_slow(load: Load) -> None:
    load.run(5, lambda _: 2.0)
    assert all(load.run(EPOCH / 10, lambda _: 2.0) == MOST for _ in range(40))


def test_it_grows_only_if_it_is_used(load: Load) -> None:
    assert load.run(5, lambda _: 0.2, share=0.3) == LEAST


def test_a_slow_method_beside_a_fast_one_does_not_lower_it(load: Load) -> None:
    for _ in range(20):
        load.run(WINDOW, lambda _: 0.001, method="Get")
        load.run(WINDOW, lambda _: 2.0, method="Complete")
    assert load.limit.value > 4 * LEAST


def test_it_accepts_a_dependency_that_has_become_slower(load: Load) -> None:
    load.run(5, lambda _: 0.05)
    assert load.run(5, lambda _: 0.5) < 2 * LEAST
    load.run(2 * EPOCH, lambda _: 0.5)
    assert load.run(5, lambda _: 0.5) > 4 * LEAST
