"""Ends the connections of a server so that no caller sees its call cancelled.

`grpc.aio.Server.stop` resets every call that the core has received and the server has not requested
yet, and every call that arrives before its caller has read the GOAWAY. Their callers see CANCELLED,
which no client may retry. Therefore the server continues to request calls, answers those in
progress, refuses the others with a reason, and closes each connection at its socket once it has no
call left. A call that is in transit at that moment ends with UNAVAILABLE, and its client may retry
it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.sockets import Connection, Peer, connections_to, stop_listening

_LOOK_SECONDS: Final = 0.01
# Consecutive looks without a new call, after which the core has handed over all received calls.
_QUIET_LOOKS: Final = 5
# The same if calls were in progress when the stop began: their callers may call again, which takes
# longer on a busy machine. With 5 looks, 811 of 5,760 such calls got no reason.
_BUSY_QUIET_LOOKS: Final = 25
# Callers that repeat refused calls without a pause are disconnected after this time, in seconds.
_LONGEST_REFUSAL: Final = 5.0
# The wait for a connection's streams to end, and then for its caller to close it, in looks.
_STREAM_LOOKS: Final = 20
_CALLER_LOOKS: Final = 50
# The time in which calls that were cut off must send their status, in seconds.
_LAST_ANSWERS: Final = 1.0


async def end_connections(
    port: int, in_flight: InFlight, admission: Admission, grace: float
) -> int:
    """Stops listening, and closes each connection as soon as its calls are answered.

    `admission` is closed already. Cuts off calls that take longer than `grace` seconds, with a
    reason, and returns their number.
    """
    stop_listening(port)
    try:
        async with asyncio.timeout(grace):
            await _core_is_empty(port, in_flight, admission)
            await _end(port, in_flight)
            await _all_answered(in_flight)
    except TimeoutError:
        late = in_flight.calls
        await _cut_off(in_flight)
        await _end(port, in_flight, force=True)
        return late
    return 0


async def _cut_off(in_flight: InFlight) -> None:
    in_flight.cut_off()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_ANSWERS):
            await _all_answered(in_flight)


async def _core_is_empty(port: int, in_flight: InFlight, admission: Admission) -> None:
    """Waits until the core has handed over all calls that it has received.

    It hands over the next ones in each iteration of the event loop.
    """
    loop = asyncio.get_running_loop()
    end, quiet, before = loop.time() + _LONGEST_REFUSAL, 0, admission.refused
    looks = _BUSY_QUIET_LOOKS if admission.at_work else _QUIET_LOOKS
    if not connections_to(port):
        return
    while quiet < looks and loop.time() < end:
        await asyncio.sleep(_LOOK_SECONDS)
        # An admitted call that has not begun is waiting for its request message.
        is_quiet = admission.refused == before and admission.at_work <= in_flight.calls
        quiet = quiet + 1 if is_quiet else 0
        before = admission.refused


async def _all_answered(in_flight: InFlight) -> None:
    while in_flight.calls:  # noqa: ASYNC110 - an event would cost every call
        await asyncio.sleep(_LOOK_SECONDS)


async def _end(port: int, in_flight: InFlight, *, force: bool = False) -> None:
    """Closes each connection once it has no call in progress; with `force`, all of them at once."""
    known: dict[Connection, _Ending] = {}
    while found := [c for c in connections_to(port) if c not in known]:
        known.update((connection, _Ending(connection)) for connection in found)
        while open_ones := [ending for ending in known.values() if not ending.is_over()]:
            busy = set() if force else in_flight.busy_peers()
            streaming = in_flight.streaming_peers()
            in_flight.end_streams({e.connection.peer for e in open_ones if e.is_idle(busy)})
            for ending in open_ones:
                ending.proceed(busy, streaming)
            await asyncio.sleep(_LOOK_SECONDS)


@dataclass(slots=True)
class _Ending:
    """Waits for a connection's calls, then its streams, then its caller; one step per look."""

    connection: Connection
    idle_looks: int = _QUIET_LOOKS
    closing_looks: int = 0

    def is_over(self) -> bool:
        return self.closing_looks > _CALLER_LOOKS or not self.connection.is_open()

    def is_idle(self, busy: set[Peer]) -> bool:
        return self.idle_looks >= _QUIET_LOOKS and self.connection.peer not in busy

    def proceed(self, busy: set[Peer], streaming: set[Peer]) -> None:
        """Takes the next step. `busy`: callers with calls; `streaming`: callers with streams."""
        if self.closing_looks:
            self._wait_for_caller()
        elif self.connection.peer in busy:
            self.idle_looks = 0
        elif not self.is_idle(busy) or self._waits_for_streams(streaming):
            self.idle_looks += 1
        else:
            self.closing_looks = 1
            self.connection.finish_sending()

    def _waits_for_streams(self, streaming: set[Peer]) -> bool:
        waited = self.idle_looks - _QUIET_LOOKS
        return self.connection.peer in streaming and waited < _STREAM_LOOKS

    def _wait_for_caller(self) -> None:
        self.closing_looks += 1
        if self.closing_looks > _CALLER_LOOKS:
            self.connection.end()
