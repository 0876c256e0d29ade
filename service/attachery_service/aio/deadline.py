"""The remaining time of the current call, in total and for each dependency.

A call has one deadline, and one `WaitBudget` per dependency, which all its requests to that
dependency share: ten statements together wait no longer than one may. So a call takes at most the
sum of the budgets, regardless of its number of requests.
"""

from __future__ import annotations

import math
import time
from contextvars import Context, ContextVar, copy_context
from typing import Self


class WaitBudget:
    """Counts the seconds that one call has waited for one dependency.

    Enter it for the time of a wait. Concurrent waits count once: it measures the caller's time.
    """

    __slots__ = ("_deadline", "_since", "_spent", "_waits")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._spent = 0.0
        self._since = 0.0
        self._waits = 0

    def __enter__(self) -> Self:
        if not self._waits:
            self._since = time.monotonic()
        self._waits += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._waits -= 1
        if not self._waits:
            self._spent += time.monotonic() - self._since

    def left(self, limit: float) -> float:
        """Seconds that the call may still wait: the rest of `limit`, or of its deadline if less.

        Zero or negative if there are none.
        """
        now = time.monotonic()
        spent = self._spent + (now - self._since if self._waits else 0.0)
        return min(limit - spent, self._deadline - now)


class _CallTime:
    """The deadline and the budgets of one call."""

    __slots__ = ("confirmation", "database", "deadline", "storage", "transfer")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.database = WaitBudget(deadline)
        self.storage = WaitBudget(deadline)
        self.transfer = WaitBudget(deadline)
        self.confirmation = WaitBudget(deadline)


# Uses the monotonic clock, which needs no system call. The loop of CPython 3.11 makes one: finding
# the running loop reads the process id.
_call_time: ContextVar[_CallTime | None] = ContextVar("call_time", default=None)


def set_time_left(seconds: float) -> None:
    """Gives the rest of this task's context `seconds` to finish, and new budgets."""
    _call_time.set(_CallTime(time.monotonic() + seconds))


def renew_budgets() -> None:
    """Gives the rest of this task's context new budgets, and leaves its deadline as it is."""
    current = _call_time.get()
    if current is not None:
        _call_time.set(_CallTime(current.deadline))


def time_left(at_most: float) -> float:
    """Seconds until the deadline, but never more than `at_most`."""
    current = _call_time.get()
    if current is None:
        return at_most
    return min(at_most, current.deadline - time.monotonic())


def database_budget() -> WaitBudget:
    """The call's budget for PostgreSQL. Outside of calls, a new one for each wait."""
    current = _call_time.get()
    return WaitBudget(math.inf) if current is None else current.database


def storage_budget() -> WaitBudget:
    """The call's budget for short requests to object storage, as `database_budget`."""
    current = _call_time.get()
    return WaitBudget(math.inf) if current is None else current.storage


def transfer_budget() -> WaitBudget:
    """The call's budget for copies and reads of whole objects, as `database_budget`."""
    current = _call_time.get()
    return WaitBudget(math.inf) if current is None else current.transfer


def confirmation_budget() -> WaitBudget:
    """The call's budget for the second read of objects that failed verification.

    It is separate from the transfer budget, which the copy and the first read may have used up: the
    second read of the same bytes takes as long as the first. Outside of calls as `database_budget`.
    """
    current = _call_time.get()
    return WaitBudget(math.inf) if current is None else current.confirmation


def context_without_deadline() -> Context:
    """Copies the current context, with new budgets and no deadline.

    For work that must finish even if its caller leaves.
    """
    context = copy_context()
    context.run(_call_time.set, _CallTime(math.inf))
    return context
