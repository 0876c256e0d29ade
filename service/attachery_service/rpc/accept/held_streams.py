"""Keeps the streams of refused calls open, so that gRPC's core refuses more calls by itself.

Gain: a refusal in Python costs about 85 µs of CPU time. One by the core (REFUSED_STREAM, for a call
beyond the limit of streams on its connection) costs about 6, an estimate from the CPU time of its
threads. At several times the capacity, refusals in Python alone would take all CPU time. The core
counts a stream until its call is destroyed (channel option `grpc.http.overload_protection`, on by
default), so a call that was refused, or expired before it was admitted, uses up the limit of its
own connection while it is kept here: the more calls of a connection are refused, the fewer later
ones reach Python.

Answered calls release held ones, so refusals in Python take a bounded share of the CPU time. They
release none while many calls wait for admission: the connections' limits are not used up yet. After
the last refusal, the held calls are released in steps, each twice as large as the one before. All
at once, they would let in a burst that takes a second to refuse.

Part of `PrefetchingServer`: `accept_prefetch` states the versions and the switch.
`make bench ONLY=overload` measures it.
"""

from __future__ import annotations

import asyncio
from collections import deque

# Refusals in Python per answered call while connections are at their limit: 8 % of the CPU time.
_RELEASED_PER_ANSWER = 0.25
# While more calls than this wait for admission, answered calls release no held ones.
_EXCESS = 128
# Calls: the streams of 192 connections. A held one takes 16 KiB.
_MOST = 24_576
# While calls are refused, old ones are released at a bounded rate, since gRPC does not report that
# a connection has ended.
_LOOK_SECONDS = 0.1
_LONGEST_SECONDS = 5.0
_OLD_PER_LOOK = 20
# The first step after the last refusal, in calls; the ninth releases all.
_FIRST_STEP = 100


class HeldStreams:
    """The refused calls of one server, oldest first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[float, object]] = deque()  # with the time of the refusal
        self._released = 0.0
        self._refused = False
        self._step = _FIRST_STEP
        self._looking = False

    def hold(self, call: object) -> None:
        """Holds a refused call, and releases the oldest one if there are too many."""
        self._refused = True
        self._calls.append((self._loop.time(), call))
        if len(self._calls) > _MOST:
            self._calls.popleft()
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def answered(self, waiting: int) -> None:
        """Releases held calls in proportion to the admitted calls that have ended.

        `waiting`: calls that have arrived and are neither admitted nor refused.
        """
        if not self._calls or waiting > _EXCESS:
            return
        self._released += _RELEASED_PER_ANSWER
        if self._released >= 1.0:
            self._released -= 1.0
            self._calls.popleft()

    def _look(self) -> None:
        if self._refused:
            self._refused, self._step = False, _FIRST_STEP
            self._release_old()
        else:
            self._release(self._step)
            self._step *= 2
        self._looking = bool(self._calls)
        if self._looking:
            self._loop.call_later(_LOOK_SECONDS, self._look)

    def _release_old(self) -> None:
        too_old = self._loop.time() - _LONGEST_SECONDS
        for _ in range(_OLD_PER_LOOK):
            if not self._calls or self._calls[0][0] > too_old:
                return
            self._calls.popleft()

    def _release(self, count: int) -> None:
        for _ in range(min(len(self._calls), count)):
            self._calls.popleft()
