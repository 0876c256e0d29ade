"""Calls a server in a closed loop, or at a fixed rate, and measures the latencies."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol


class Connection(Protocol):
    """Sends prepared requests; raises CallFailedError unless the response is a success."""

    async def call(self, request: Any, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Load:
    """The measured latencies in seconds, ascending; `seconds` from the first call on."""

    latencies: Sequence[float]
    seconds: float
    generator_cpu: float

    @property
    def calls(self) -> int:
        return len(self.latencies)

    def percentile(self, percent: float) -> float:
        """Returns the latency that `share` percent of the calls did not exceed, in seconds."""
        return self.latencies[min(int(self.calls * percent / 100), self.calls - 1)]


async def closed_loop(
    connections: Sequence[Connection], requests: Iterator[Any], callers: int, seconds: float
) -> Load:
    """Runs `callers` callers, each calling again once it is answered, while there are requests."""
    latencies: list[float] = []
    clock, cpu = time.perf_counter, time.process_time()
    began = clock()
    end = began + seconds

    async def call_on(connection: Connection) -> None:
        before = clock()
        for request in requests:
            await connection.call(request)
            now = clock()
            latencies.append(now - before)
            if now > end:
                return
            before = now

    async with _all_or_first_error() as group:
        for connection in itertools.islice(itertools.cycle(connections), callers):
            group.create_task(call_on(connection))
    return Load(sorted(latencies), clock() - began, time.process_time() - cpu)


async def open_loop(
    connections: Sequence[Connection], requests: Iterator[Any], rate: float, seconds: float
) -> Load:
    """Makes `rate` calls per second, regardless of the responses to earlier ones.

    A latency counts from the time at which the call was due, so a stalled server cannot hide it.
    """
    latencies: list[float] = []
    clock, cpu = time.perf_counter, time.process_time()
    began, due_calls, stopped = clock(), max(int(rate * seconds), 1), threading.Event()

    async def call_on(connection: Connection, request: Any, due: float) -> None:
        await connection.call(request)
        latencies.append(clock() - due)

    async with _all_or_first_error() as group:
        pairs = zip(itertools.cycle(connections), requests)

        def launch(due: float) -> None:
            if stopped.is_set():
                return
            for connection, request in itertools.islice(pairs, 1):
                group.create_task(call_on(connection, request, due))

        # Loops count in milliseconds; a thread of its own wakes up on time.
        loop = asyncio.get_running_loop()

        def pace() -> None:
            for number in range(due_calls):
                if stopped.is_set():
                    return
                due = began + number / rate
                if (wait := due - clock()) > 0:
                    time.sleep(wait)
                loop.call_soon_threadsafe(launch, due)

        try:
            await asyncio.to_thread(pace)
        finally:
            stopped.set()
    return Load(sorted(latencies), clock() - began, time.process_time() - cpu)


@asynccontextmanager
async def _all_or_first_error() -> AsyncIterator[asyncio.TaskGroup]:
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
