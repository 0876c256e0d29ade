"""Calls at several times the service's maximum rate."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import cores, http2, messages
from bench.flood import GOOD, REFUSED_STREAM, SHED
from bench.load import closed_loop
from bench.processes import ServerProcess, output
from bench.report import Report
from bench.samples import Ratio
from bench.servers import Service
from bench.world import World

_CHECK: Final = http2.request("/grpc.health.v1.Health/Check", b"")
_CHECK_PAUSE: Final = 0.03
# For each number of connections, the number of callers with the highest rate.
_CALLERS: Final = {16: 64, 128: 128, 1: 64}
_CONNECTIONS: Final = (16, 128)
_TIMES: Final = (1, 3, 10)
_PATIENCE: Final = 1.0
# Seconds of one flood; then at half of the maximum, until the service has recovered.
_FLOOD: Final = 8.0
_AFTERWARDS: Final = 2.5
_CEILING: Final = 2.0
_BUCKET: Final = 0.1
_MS: Final = 1_000
_LEAST: Final = {3: 0.8, 10: 0.6}


@dataclass(slots=True)
class Round:
    """One flood. Rates per second, times in seconds.

    `recovery`: from the flood's end until as many calls are answered in a tenth of a second as are
    made; `ceiling`: see `_ceiling`.
    """

    offered: float
    good: float
    shed: float
    refused: float
    good_p50: float
    good_p99: float
    refusal_p50: float
    slowest_check: float
    recovery: float
    generator: float
    ceiling: float


@dataclass(slots=True)
class Flooded:
    """The rounds of one number of connections and multiple of the maximum."""

    connections: int
    times: int
    rounds: list[Round] = field(default_factory=list)

    def of(self, name: str) -> float:
        values: list[float] = [getattr(each, name) for each in self.rounds]
        return median(values)


@dataclass(frozen=True, slots=True)
class Subject:
    """A running service, and the Gets of the flood."""

    world: World
    service: Service
    gets: Sequence[http2.Request]
    plan: Path

    @property
    def scale(self) -> float:
        return min(self.world.effort.seconds, 1.0)


async def overload(world: World, report: Report) -> None:
    """Get at 1, 3 and 10 times the maximum, with one process and with two."""
    for workers in (1, 2):
        await _overload_of(world, report, workers)


async def _overload_of(world: World, report: Report, workers: int) -> None:
    service = await world.service(workers=workers, spread=True)
    ids = await service.ready.copy(2_000)
    gets = messages.gets(service.database.api_key, ids)
    subject = Subject(world, service, gets, _written(world.folder / "plan.json", gets))
    closed: dict[int, list[float]] = {each: [] for each in _CALLERS}
    floods = [Flooded(each, times) for each in _CONNECTIONS for times in _TIMES]
    for _ in range(world.effort.rounds):
        for connections, callers in _CALLERS.items():
            rate = await _closed(subject, connections, callers, world.effort.seconds)
            closed[connections].append(rate)
        for flood in floods:
            most = median(closed[flood.connections])
            ceiling = await _ceiling(subject, flood, most)
            flood.rounds.append(await _round(subject, flood, most, ceiling))
    _tell(report, workers, closed, floods)


def _written(path: Path, gets: Sequence[http2.Request]) -> Path:
    headers = [
        (name, f"{_PATIENCE:.0f}S" if name == "grpc-timeout" else value)
        for name, value in gets[0].headers
    ]
    path.write_text(json.dumps({"headers": headers, "bodies": [get.body.hex() for get in gets]}))
    return path


async def _closed(subject: Subject, connections: int, callers: int, seconds: float) -> float:
    """Answers per second; every call must be answered OK. Raises CallFailedError."""
    process = subject.service.process
    process.shorten_log()
    opened = await http2.connect("127.0.0.1", process.port, connections)
    try:
        load = await closed_loop(opened, itertools.cycle(subject.gets), callers, seconds)
    finally:
        for connection in opened:
            connection.close()
    return load.calls / load.seconds


async def _ceiling(subject: Subject, flood: Flooded, most: float) -> float:
    """Answers per second while the flood's excess calls are refused elsewhere, at the least cost.

    The callers wait for each answer. This is the share of the machine that the flood leaves.
    """
    if flood.times == 1:
        return most
    refusing, seconds = await subject.world.refusing(), _CEILING * subject.scale
    phase = f"{most * (flood.times - 1)}:{2 * seconds}"
    flooding = asyncio.create_task(_flooding(subject, refusing, flood, phase))
    try:
        await asyncio.sleep(seconds / 2)
        return await _closed(subject, flood.connections, _CALLERS[flood.connections], seconds)
    finally:
        await flooding


async def _round(subject: Subject, flood: Flooded, most: float, ceiling: float) -> Round:
    service = subject.service
    service.process.shorten_log()
    during = f"{most * flood.times}:{_FLOOD * subject.scale}"
    after = f"{most / 2}:{_AFTERWARDS * subject.scale}"
    async with _checking(service) as checks:
        flooded, recovering = await _flooding(subject, service.process, flood, during, after)
    return _judged(flooded, recovering, most / 2, checks, ceiling)


async def _flooding(
    subject: Subject, server: ServerProcess, flood: Flooded, *phases: str
) -> list[Mapping[str, Any]]:
    """Runs the phases of a flood; returns the results of each."""
    arguments = [
        "bench.flood",
        *("--port", str(server.port), "--plan", str(subject.plan)),
        *("--connections", str(flood.connections), "--timeout", str(_PATIENCE)),
        *phases,
    ]
    told: list[Mapping[str, Any]] = json.loads(
        await output(arguments, subject.world.folder, on=cores.OTHERS)
    )
    return told


@asynccontextmanager
async def _checking(service: Service) -> AsyncIterator[list[float]]:
    """Checks the service's health continuously, on its own connection; yields the latencies."""
    latencies: list[float] = []

    async def check(connection: http2.GrpcConnection) -> None:
        while True:
            began = time.perf_counter()
            await connection.call(_CHECK)
            latencies.append(time.perf_counter() - began)
            await asyncio.sleep(_CHECK_PAUSE)

    (connection,) = await http2.connect("127.0.0.1", service.process.port, 1)
    checking = asyncio.create_task(check(connection))
    try:
        yield latencies
        if checking.done():
            checking.result()
    finally:
        checking.cancel()
        connection.close()


def _judged(
    during: Mapping[str, Any],
    after: Mapping[str, Any],
    rate: float,
    checks: Sequence[float],
    ceiling: float,
) -> Round:
    outcomes, seconds = during["outcomes"], during["seconds"]
    return Round(
        offered=during["calls"] / seconds,
        good=_calls(outcomes, GOOD) / seconds,
        shed=_calls(outcomes, SHED) / seconds,
        refused=_calls(outcomes, REFUSED_STREAM) / seconds,
        good_p50=outcomes.get(GOOD, {}).get("p50", _PATIENCE),
        good_p99=outcomes.get(GOOD, {}).get("p99", _PATIENCE),
        refusal_p50=_refusal_median(outcomes),
        slowest_check=max(checks),
        recovery=_recovery(after["good"], rate),
        generator=during["cpu"] / seconds,
        ceiling=ceiling,
    )


def _calls(outcomes: Mapping[str, Any], name: str) -> float:
    calls: float = outcomes.get(name, {}).get("calls", 0)
    return calls


def _refusal_median(outcomes: Mapping[str, Any]) -> float:
    """The median of the larger group: refused by the service, or by gRPC. 0 without refusals."""
    groups = [outcomes[name] for name in (SHED, REFUSED_STREAM) if name in outcomes]
    return max(groups, key=lambda each: each["calls"])["p50"] if groups else 0.0


def _recovery(good: Sequence[int], rate: float) -> float:
    """The time until nine tenths of the calls are answered, for three tenths of a second."""
    enough = 0.9 * rate * _BUCKET * 3
    for bucket in range(len(good) - 2):
        if sum(good[bucket : bucket + 3]) >= enough:
            return bucket * _BUCKET
    return len(good) * _BUCKET


def _tell(
    report: Report,
    workers: int,
    closed: Mapping[int, Sequence[float]],
    floods: Sequence[Flooded],
) -> None:
    name = f"{workers} process{'es' if workers > 1 else ''}"
    report.section(
        f"Overload, {name}",
        f"Gets with a deadline of {_PATIENCE:.0f} s, at multiples of the maximum: what callers get"
        " over as many connections who wait for each answer. Ceiling: what those callers get while"
        " another server is flooded with the calls beyond the maximum, and its gRPC core refuses"
        " all of them. Refused by the service: `OVERLOADED`; by gRPC: `REFUSED_STREAM`, as the"
        " generator ignores the limit of streams. Of the rest the callers had no answer in time."
        " A health check is made every 30 ms. Recovery: after the flood calls come at half"
        " of the maximum, and it is the time until they are answered as fast as they come."
        " Service, generator and Postgres share all cores.",
    )
    report.table(
        ("callers / connections", "answers per second", "all OK"),
        [
            (f"{_CALLERS[connections]} / {connections}", _range(rates), "yes")
            for connections, rates in closed.items()
        ],
    )
    most = {connections: median(rates) for connections, rates in closed.items()}
    report.table(_COLUMNS, [_row(flood, most[flood.connections]) for flood in floods])
    for flood in floods:
        if flood.times not in _LEAST:
            continue
        ratios = [each.good / most[flood.connections] for each in flood.rounds]
        found = Ratio(median(ratios), min(ratios), max(ratios))
        subject = f"{name}, {flood.connections} connections, {flood.times} times the maximum"
        report.target(f"Goodput / maximum: {subject}", _LEAST[flood.times], found)
    single = [rate / max(most.values()) for rate in closed[1]]
    report.target(
        f"64 callers on one connection / maximum: {name}",
        0.8,
        Ratio(median(single), min(single), max(single)),
    )
    _tell_worst(report, name, floods)


def _tell_worst(report: Report, name: str, floods: Sequence[Flooded]) -> None:
    """Reports the largest median of all floods, and the smallest and the largest round."""
    for figure, attribute, bound, unit, factor in (
        ("Median time of a refusal", "refusal_p50", 50, " ms", _MS),
        ("Slowest health check", "slowest_check", 250, " ms", _MS),
        ("Recovery", "recovery", 2, " s", 1),
    ):
        rounds = [getattr(each, attribute) * factor for flood in floods for each in flood.rounds]
        worst = max(flood.of(attribute) * factor for flood in floods)
        found = Ratio(worst, min(rounds), max(rounds))
        report.target(f"{figure}: {name}", bound, found, at_most=True, unit=unit)


_COLUMNS: Final = (
    "flood",
    "offered",
    "good per second (lowest to highest)",
    "/ maximum",
    "ceiling / maximum",
    "refused by us",
    "by gRPC",
    "good p50 ms",
    "p99 ms",
    "refusal p50 ms",
    "slowest check ms",
    "recovery s",
    "generator",
)


def _row(flood: Flooded, most: float) -> tuple[str, ...]:
    return (
        f"{flood.times} x, {flood.connections} connections",
        f"{flood.of('offered'):,.0f}",
        _range([each.good for each in flood.rounds]),
        f"{flood.of('good') / most:.2f}",
        f"{flood.of('ceiling') / most:.2f}",
        f"{flood.of('shed'):,.0f}",
        f"{flood.of('refused'):,.0f}",
        f"{flood.of('good_p50') * _MS:.0f}",
        f"{flood.of('good_p99') * _MS:.0f}",
        f"{flood.of('refusal_p50') * _MS:.0f}",
        f"{flood.of('slowest_check') * _MS:.0f}",
        f"{flood.of('recovery'):.1f}",
        f"{flood.of('generator'):.0%}",
    )


def _range(rates: Sequence[float]) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
