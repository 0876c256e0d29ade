"""Refused calls whose streams still count, so that gRPC's core refuses more calls by itself.

A refusal in Python costs about 85 us of CPU time. One by the core (REFUSED_STREAM, for a call
beyond the limit of streams on its connection) costs about 6, an estimate from the CPU time of its
threads. At several times the capacity, refusals in Python alone would take all CPU time. The core
counts a stream until its call is destroyed (channel option `grpc.http.overload_protection`, on by
default), so a refused call that is kept here, answered, uses up the limit of its own connection:
the more calls of a connection are refused, the fewer of the following ones reach Python.

Answered calls let go of held ones, so that refusals in Python take a bounded share of the CPU time;
when no call is refused any more, all are let go. As gRPC does not tell whether the connection of a
held call still exists, old ones are let go in any case, at a rate that costs little if their
callers come back.
"""

from __future__ import annotations

import asyncio
from collections import deque

# Explicit refusals per answered call, while connections are at their limit: costs 8 % of the CPU.
_RELEASED_PER_ANSWER = 0.25
# Calls. A held one takes 16 KiB.
_MOST = 16_384
_QUIET_SECONDS = 0.1
# How long a call is held while others are refused, in seconds; then it is let go, with at most 100
# others in 0.1 s. If all of those come back and are refused again, it costs 8 % of the CPU.
_LONGEST_SECONDS = 1.0
_OLD_PER_LOOK = 100
# Destroying a call takes 10 us: not too many in one round of the loop.
_PER_ROUND = 500


class HeldStreams:
    """The refused calls of one server, oldest first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[float, object]] = deque()  # with the time of the refusal
        self._released = 0.0
        self._refused = False
        self._looking = False

    def hold(self, call: object) -> None:
        """Keeps a refused call, and lets go of the oldest if there are too many."""
        self._refused = True
        self._calls.append((self._loop.time(), call))
        if len(self._calls) > _MOST:
            self._calls.popleft()
        if not self._looking:
            self._looking = True
            self._loop.call_later(_QUIET_SECONDS, self._look)

    def answered(self) -> None:
        """Lets go of held calls in proportion to the admitted calls that have ended."""
        if not self._calls:
            return
        self._released += _RELEASED_PER_ANSWER
        if self._released >= 1.0:
            self._released -= 1.0
            self._calls.popleft()

    def _look(self) -> None:
        if self._refused:
            self._refused = False
            self._release_old()
            self._loop.call_later(_QUIET_SECONDS, self._look)
        else:
            self._release_all()

    def _release_old(self) -> None:
        too_old = self._loop.time() - _LONGEST_SECONDS
        for _ in range(_OLD_PER_LOOK):
            if not self._calls or self._calls[0][0] > too_old:
                return
            self._calls.popleft()

    def _release_all(self) -> None:
        for _ in range(min(len(self._calls), _PER_ROUND)):
            self._calls.popleft()
        self._looking = bool(self._calls)
        if self._looking:
            self._loop.call_soon(self._release_all)
