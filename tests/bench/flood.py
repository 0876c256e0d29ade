"""`python -m bench.flood`: calls a server at a fixed rate, and reports the results as JSON.

A process of its own, so that nothing else delays its calls. It speaks HTTP/2 like `bench.http2`,
with any number of calls at a time on each connection. It ignores the server's limit of concurrent
streams, so that the server refuses calls beyond it (REFUSED_STREAM).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from bench.hpack import Headers, HeaderWriter

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TABLE_SIZE_SETTING, _WINDOW_SETTING = 1, 4
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65_535
_FRAME_HEADER: Final = 9
_OK, _STATUS = b"\x0bgrpc-status\x010", b"\x0bgrpc-status"
_PUSHBACK: Final = b"grpc-retry-pushback-ms"
_REFUSED_STREAM, _CANCEL = 7, 8

# In seconds.
_TICK: Final = 0.001
_BUCKET: Final = 0.1
_LOOK: Final = 0.05

GOOD, SHED, REFUSED_STREAM, LATE = "good", "shed", "refused stream", "late"


@dataclass(slots=True)
class Tally:
    """The results of the calls of a phase.

    `began`: its start. `seconds` and `cpu` (in seconds): its duration and CPU time. Latencies are
    in seconds since each call was due, by outcome.
    """

    began: float
    calls: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    good: Counter[int] = field(default_factory=Counter)

    def add(self, outcome: str, due: float, now: float) -> None:
        self.latencies.setdefault(outcome, []).append(now - due)
        if outcome == GOOD:
            self.good[int((now - self.began) / _BUCKET)] += 1

    def as_json(self) -> dict[str, Any]:
        """`good`: answers in each full tenth of a second."""
        return {
            "calls": self.calls,
            "seconds": self.seconds,
            "cpu": self.cpu,
            "outcomes": {name: _summary(sorted(each)) for name, each in self.latencies.items()},
            "good": [self.good[bucket] for bucket in range(int(self.seconds / _BUCKET))],
        }


def _summary(latencies: Sequence[float]) -> dict[str, float]:
    count = len(latencies)
    return {"calls": count, "p50": latencies[count // 2], "p99": latencies[count * 99 // 100]}


class FloodConnection(asyncio.Protocol):
    """Sends calls and sorts their answers. A call is late after `timeout` seconds."""

    def __init__(self, headers: Headers, timeout: float) -> None:
        self.tally = Tally(time.perf_counter())
        self._headers, self._timeout = headers, timeout
        self._transport: asyncio.Transport | None = None
        self._writer = HeaderWriter()
        self._buffer = b""
        self._due: dict[int, tuple[float, Tally]] = {}
        self._next_stream = 1
        self._out: list[bytes] = []
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def open_calls(self) -> int:
        return len(self._due)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HIHI", _TABLE_SIZE_SETTING, 0, _WINDOW_SETTING, _LARGEST_WINDOW)
        more = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self._out = [
            _PREFACE,
            _frame(_SETTINGS, 0, 0, settings),
            _frame(_WINDOW_UPDATE, 0, 0, more),
        ]
        self.flush()

    def connection_lost(self, _exc: Exception | None) -> None:
        now = time.perf_counter()
        for stream in list(self._due):
            self._end(stream, "connection lost", now)

    def call(self, body: bytes, due: float) -> None:
        """Adds a call to the bytes that `flush` sends."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._due[stream] = (due, self.tally)
        block = self._writer.block(self._headers)
        self._out.append(_frame(_HEADERS, _END_HEADERS, stream, block))
        self._out.append(_frame(_DATA, _END_STREAM, stream, body))

    def flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def give_up(self, now: float) -> None:
        """Cancels the calls that are late."""
        oldest = now - self._timeout
        for stream in [stream for stream, (due, _) in self._due.items() if due < oldest]:
            self._end(stream, LATE, now)
            self._out.append(_frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))
        self.flush()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        start, end, now = 0, len(buffer), time.perf_counter()
        while end - start >= _FRAME_HEADER:
            stop = start + _FRAME_HEADER + int.from_bytes(buffer[start : start + 3], "big")
            if stop > end:
                break
            self._frame_received(buffer[start + 3], buffer[start + 4], buffer[start:stop], now)
            start = stop
        self._buffer = buffer[start:]
        self.flush()

    def _frame_received(self, kind: int, flags: int, frame: bytes, now: float) -> None:
        stream = int.from_bytes(frame[5:9], "big")
        if kind == _HEADERS and flags & _END_STREAM:
            self._end(stream, _outcome(frame), now)
        elif kind == _RST_STREAM:
            code = int.from_bytes(frame[9:], "big")
            self._end(stream, REFUSED_STREAM if code == _REFUSED_STREAM else f"reset {code}", now)
        elif kind == _SETTINGS and not flags & _ACK:
            self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, frame[9:]))

    def _end(self, stream: int, outcome: str, now: float) -> None:
        found = self._due.pop(stream, None)
        if found is not None:
            due, tally = found
            is_late = outcome == GOOD and now - due > self._timeout
            tally.add(LATE if is_late else outcome, due, now)


@dataclass(frozen=True, slots=True)
class Phase:
    """`rate` in calls per second, for `seconds`."""

    rate: float
    seconds: float


class Flood:
    """Open-loop calls over all connections in turn."""

    def __init__(self, connections: Sequence[FloodConnection], bodies: Sequence[bytes]) -> None:
        self._connections, self._bodies = connections, bodies

    async def run(self, phase: Phase) -> Tally:
        """Makes the calls of a phase as they are due. They may end after it."""
        began, cpu, sent, next_look = time.perf_counter(), time.process_time(), 0, 0.0
        tally = Tally(began)
        for connection in self._connections:
            connection.tally = tally
        while (now := time.perf_counter()) < began + phase.seconds:
            for number in range(sent, int((now - began) * phase.rate)):
                body = self._bodies[number % len(self._bodies)]
                connection = self._connections[number % len(self._connections)]
                connection.call(body, began + number / phase.rate)
                sent = number + 1
            if now >= next_look:
                self.give_up(now)
                next_look = now + _LOOK
            for connection in self._connections:
                connection.flush()
            await asyncio.sleep(max(_TICK - (time.perf_counter() - now), 0))
        tally.calls, tally.seconds = sent, time.perf_counter() - began
        tally.cpu = time.process_time() - cpu
        return tally

    async def settle(self, seconds: float) -> None:
        """Waits until every call has ended, or is late."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and any(each.open_calls for each in self._connections):
            await asyncio.sleep(_LOOK)
            self.give_up(time.perf_counter())

    def give_up(self, now: float) -> None:
        for connection in self._connections:
            connection.give_up(now)


async def _connect(
    port: int, count: int, headers: Headers, patience: float
) -> list[FloodConnection]:
    loop, connections = asyncio.get_running_loop(), []
    for _ in range(count):
        _, connection = await loop.create_connection(
            lambda: FloodConnection(headers, patience), "127.0.0.1", port
        )
        await connection.ready
        connections.append(connection)
    return connections


async def _flood(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs the phases; returns the results of each."""
    plan = options.plan
    headers: Headers = tuple((name, value) for name, value in plan["headers"])
    connections = await _connect(options.port, options.connections, headers, options.timeout)
    flood = Flood(connections, [bytes.fromhex(body) for body in plan["bodies"]])
    tallies = [await flood.run(phase) for phase in options.phases]
    await flood.settle(options.timeout + _BUCKET)
    return [tally.as_json() for tally in tallies]


def _outcome(frame: bytes) -> str:
    if _OK in frame:
        return GOOD
    if _PUSHBACK in frame:
        return SHED
    _, found, rest = frame.partition(_STATUS)
    return f"status {rest[1 : 1 + rest[0]].decode()}" if found else "no status"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


def _plan(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="ascii"))


def _phase(text: str) -> Phase:
    rate, _, seconds = text.partition(":")
    return Phase(float(rate), float(seconds))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--plan", type=_plan, required=True, help="JSON file: headers, and bodies in hex"
    )
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--timeout", type=float, default=1.0, help="of each call, in seconds")
    parser.add_argument("phases", type=_phase, nargs="+", metavar="RATE:SECONDS")
    print(json.dumps(uvloop.run(_flood(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
