"""One traceback of each kind per minute, and a count of the others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from attachery_service.observability.traceback_limit import PERIOD, TracebackLimit
from support.processes import SOURCES


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_of_a_kind_is_admitted_and_the_others_of_its_minute_are_counted() -> None:
    clock = Clock()
    limit = TracebackLimit(clock)
    assert [limit.admit(kind) for kind in "aabaab"] == [True, False, True, False, False, False]
    assert not limit.is_due()
    assert limit.take() == []
    clock.now = PERIOD
    assert limit.is_due()
    assert limit.take() == [("a", 3), ("b", 1)]
    assert not limit.is_due()
    assert limit.take() == []
    assert [limit.admit("a"), limit.admit("a")] == [True, False]


def test_a_single_event_is_not_counted() -> None:
    clock = Clock()
    limit = TracebackLimit(clock)
    limit.admit("a")
    clock.now = PERIOD
    assert not limit.is_due()
    assert limit.take() == []


def test_at_the_end_all_counts_are_reported() -> None:
    limit = TracebackLimit(Clock())
    for kind in "aab":
        limit.admit(kind)
    assert limit.take(at_end=True) == [("a", 1)]


def test_the_memory_it_takes_is_bounded() -> None:
    limit = TracebackLimit(Clock())
    for kind in range(5_000):
        assert limit.admit(kind)
    assert len(limit._kinds) <= 1_000


FAILING = """
import logging
import structlog
from attachery_service.observability.logs import configure_logs

configure_logs()
own, library = structlog.get_logger("own"), logging.getLogger("library")

def fail(kind):
    try:
        raise kind("the text differs: " + str(number))
    except kind as error:
        return error

for number in range(5):
    own.warning("fault", exc_info=fail(OSError))
    own.warning("no exception")
    try:
        raise KeyError(number)
    except KeyError:
        own.exception("bug")
    library.error("broken %s", number, exc_info=fail(ValueError))
    own.warning("left", reason="X", repeats="X")
"""


@pytest.fixture(scope="module")
def said() -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        env={"PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_the_log_has_one_traceback_of_each_kind(said: list[dict[str, object]]) -> None:
    tracebacks = [line for line in said if "exception" in line]
    assert [line["event"] for line in tracebacks] == ["fault", "bug", "broken 0"]
    assert [line["event"] for line in said].count("no exception") == 5
    assert [line["event"] for line in said].count("left") == 1
    assert all("repeats" not in line for line in said)


def test_the_log_has_the_number_of_suppressed_events(said: list[dict[str, object]]) -> None:
    told = {line["of"]: line for line in said if line["event"] == "suppressed"}
    assert told.keys() == {"fault", "bug", "broken %s", "left"}
    assert {line["count"] for line in told.values()} == {4}
    assert told["fault"]["cause"] == "OSError"
    assert told["left"]["reason"] == "X"
