"""How long the call at hand may still take, for everything that waits on something outside."""

from __future__ import annotations

import time
from contextvars import Context, ContextVar, copy_context

# By the monotonic clock, which costs no call of the system. The loop of CPython 3.11 does: finding
# the running one asks for the process id.
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_time_left(seconds: float) -> None:
    """Gives the rest of this task's context `seconds` to finish."""
    _deadline.set(time.monotonic() + seconds)


def time_left(at_most: float) -> float:
    """Seconds a wait may take: what the deadline leaves, but never more than `at_most`."""
    deadline = _deadline.get()
    if deadline is None:
        return at_most
    return min(at_most, deadline - time.monotonic())


def context_without_deadline() -> Context:
    """A copy of the current context for work that must finish whatever becomes of its caller."""
    context = copy_context()
    context.run(_deadline.set, None)
    return context
