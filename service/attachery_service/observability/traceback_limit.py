"""Limits tracebacks in the log to one per kind and minute.

During an outage every call fails in the same way. Each call has its own line; the traceback is
worth reading once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType

PERIOD = 60.0
# Kinds are places in the code; this bounds the memory if something creates many of them.
_MOST_KINDS = 1000


@dataclass(slots=True)
class _Kind:
    since: float
    suppressed: int = 0


class TracebackLimit:
    """Counts log events by kind, and admits one of each kind per PERIOD."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[Hashable, _Kind] = {}
        self._due = float("inf")

    def admit(self, kind: Hashable) -> bool:
        """Whether to write this event; otherwise it is counted."""
        known = self._kinds.get(kind)
        if known is not None and self._clock() < known.since + PERIOD:
            known.suppressed += 1
            self._due = min(self._due, known.since + PERIOD)
            return False
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[kind] = _Kind(self._clock())
        return True

    def is_due(self) -> bool:
        """Whether `take` would return counts."""
        return self._clock() >= self._due

    def take(self, *, at_end: bool = False) -> list[tuple[Hashable, int]]:
        """Returns the kinds whose period is over, or all of them `at_end`, and forgets them.

        Each has the number of its suppressed events.
        """
        now = self._clock()
        over = [
            kind for kind, known in self._kinds.items() if at_end or now >= known.since + PERIOD
        ]
        taken = [(kind, self._kinds.pop(kind).suppressed) for kind in over]
        left = [known.since + PERIOD for known in self._kinds.values() if known.suppressed]
        self._due = min(left, default=float("inf"))
        return [(kind, count) for kind, count in taken if count]


def place_of(trace: TracebackType | None) -> str:
    """Returns file and line where an exception was raised."""
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
