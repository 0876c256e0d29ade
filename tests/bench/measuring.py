"""Measures subjects in turns: A B A B, so that disturbances of the machine affect all of them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bench import cores, http1, http2
from bench.cpu import cpu_seconds, resident_bytes
from bench.load import Connection, Load, closed_loop, open_loop
from bench.processes import ServerProcess, output
from bench.samples import Sample, Series
from bench.world import World

_CONNECTIONS: Final = 8
_MICRO: Final = 1e6
_SUPPLY_MARGIN: Final = 2.0
# Before the number of calls per round is known.
_FIRST_RATE: Final = 12_000
_A_MOMENT: Final = 0.05

Supply = Callable[[int], Awaitable[Sequence[Any]]]


class Subject(Protocol):
    """A measurable subject."""

    @property
    def name(self) -> str: ...

    async def measure(self, world: World, callers: int, seconds: float) -> Sample: ...

    @property
    def resident(self) -> int: ...


@dataclass(slots=True)
class Endless:
    """Requests that may be repeated."""

    requests: Sequence[Any]

    async def __call__(self, _count: int) -> Iterator[Any]:
        return itertools.cycle(self.requests)


@dataclass(slots=True)
class Fresh:
    """Requests that can be sent once: `make` creates a number of them before the clock starts."""

    make: Supply

    async def __call__(self, count: int) -> Iterator[Any]:
        return iter(await self.make(count))


@dataclass(slots=True)
class Calls:
    """A server under load.

    `worth`: operations per call; `rest`: HTTP/1.1, not gRPC; `connections`: the maximum that the
    callers share; `rate`: calls per second, unlimited if 0; `seconds`: of a round, if other than
    usual.
    """

    name: str
    server: ServerProcess
    requests: Endless | Fresh
    worth: int = 1
    rest: bool = False
    connections: int = _CONNECTIONS
    rate: float = 0.0
    seconds: float = 0.0
    _expected: float = 0.0

    @property
    def resident(self) -> int:
        return resident_bytes(self.server.pid, peak=True)

    async def measure(self, world: World, callers: int, seconds: float) -> Sample:
        """One round, warmed up before; at a fixed `rate` if there is one."""
        warm_up = world.effort.warm_up
        if not self._expected:
            supply = int(_FIRST_RATE * (warm_up + _A_MOMENT)) // self.worth
            await self._run(world, callers, _A_MOMENT, warm_up, supply)
        seconds = max(seconds, self.seconds * world.effort.scale)
        rate = self.rate or self._expected
        supply = int(rate * (seconds + warm_up) * _SUPPLY_MARGIN)
        return await self._run(world, callers, seconds, warm_up, supply)

    async def _run(
        self, world: World, callers: int, seconds: float, warm_up: float, supply: int
    ) -> Sample:
        requests = await self.requests(supply + 2 * callers)
        self.server.shorten_log()
        connections = await self._connect(callers)
        try:
            if warm_up:
                await closed_loop(connections, requests, callers, warm_up)
            meter = _Meter.start(world, self.server)
            load = await self._load(connections, requests, callers, seconds)
            sample = meter.read(load, self.worth)
        finally:
            for connection in connections:
                connection.close()
        self._expected = max(self._expected, load.calls / load.seconds)
        return sample

    async def _load(
        self,
        connections: Sequence[Connection],
        requests: Iterator[Any],
        callers: int,
        seconds: float,
    ) -> Load:
        if self.rate:
            return await open_loop(connections, requests, self.rate, seconds)
        return await closed_loop(connections, requests, callers, seconds)

    async def _connect(self, callers: int) -> Sequence[Connection]:
        if self.rest:
            return await http1.connect("127.0.0.1", self.server.port, callers)
        return await http2.connect("127.0.0.1", self.server.port, min(callers, self.connections))


@dataclass(frozen=True, slots=True)
class Step:
    """One of `floors`, in a process of its own on the measured core; `worth` operations each."""

    name: str
    step: str
    arguments: Sequence[str] = ()
    worth: int = 1

    @property
    def resident(self) -> int:
        return 0

    async def measure(self, world: World, callers: int, seconds: float) -> Sample:
        """Measures one round of the step alone."""
        postgres, store = _cpu(world.postgres_pid), _cpu(*world.store_pids)
        told = (self.step, str(callers), str(seconds), *self.arguments)
        found = json.loads(await output(["bench.floors", *told], world.folder))
        operations = found["done"] * self.worth
        return Sample(
            rate=operations / found["seconds"],
            service_cpu=found["cpu"] / operations * _MICRO,
            postgres_cpu=(_cpu(world.postgres_pid) - postgres) / operations * _MICRO,
            store_cpu=(_cpu(*world.store_pids) - store) / operations * _MICRO,
        )


@dataclass(frozen=True, slots=True)
class _Meter:
    """CPU time from now on, by process group."""

    world: World
    server: ServerProcess
    began: float
    service: float
    postgres: float
    store: float
    busy: float

    @classmethod
    def start(cls, world: World, server: ServerProcess) -> _Meter:
        return cls(
            world=world,
            server=server,
            began=time.perf_counter(),
            service=cpu_seconds(server.pid),
            postgres=_cpu(world.postgres_pid),
            store=_cpu(*world.store_pids),
            busy=cores.busy_seconds(),
        )

    def read(self, load: Load, worth: int) -> Sample:
        service = cpu_seconds(self.server.pid) - self.service
        postgres = _cpu(self.world.postgres_pid) - self.postgres
        store = _cpu(*self.world.store_pids) - self.store
        seconds = time.perf_counter() - self.began
        ours = service + postgres + store + load.generator_cpu
        foreign = cores.busy_seconds() - self.busy - ours
        operations = load.calls * worth
        beside = ours - (service if cores.OTHERS != cores.ALL else 0.0)
        return Sample(
            rate=operations / load.seconds,
            service_cpu=service / operations * _MICRO,
            postgres_cpu=postgres / operations * _MICRO,
            store_cpu=store / operations * _MICRO,
            p50=load.percentile(50),
            p99=load.percentile(99),
            generator=load.generator_cpu / load.seconds,
            busy=beside / seconds / len(cores.OTHERS),
            foreign=max(foreign, 0.0) / seconds / len(cores.ALL),
        )


async def compare(world: World, subjects: Sequence[Subject], callers: int) -> list[Series]:
    """Each subject in each round; the results in the order of the subjects."""
    effort = world.effort
    samples: list[list[Sample]] = [[] for _ in subjects]
    for _ in range(effort.rounds_of(callers)):
        for subject, taken in zip(subjects, samples, strict=True):
            taken.append(await subject.measure(world, callers, effort.seconds))
    return [
        Series(subject.name, callers, taken, subject.resident)
        for subject, taken in zip(subjects, samples, strict=True)
    ]


def _cpu(*pids: int) -> float:
    return sum(cpu_seconds(pid) for pid in pids if pid)
