"""The cost of taking and renewing a hold on many attachments, in PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench import http2, messages
from bench.cpu import cpu_seconds, resident_bytes
from bench.measuring import Calls, Endless, Fresh, Subject, compare
from bench.report import Report
from bench.samples import Ratio, Sample, Series
from bench.servers import Service
from bench.world import World

_HELD: Final = 1_000
_OWNED: Final = 10_000
_MINUTES: Final = 60
_MICRO: Final = 1e6
_HOUR: Final = "3600s"
# Moves all holds by a minute. VACUUM, so that no call pays for the dead rows.
_PASS_A_MINUTE: Final = (
    (
        "UPDATE holds SET create_time = create_time - interval '1 min',"
        " expire_time = expire_time - interval '1 min'"
    ),
    (
        "UPDATE upload_sessions SET held_until = held_until - interval '1 min'"
        " WHERE held_until IS NOT NULL"
    ),
    "VACUUM holds, upload_sessions",
)


async def holds(world: World, report: Report) -> None:
    """A hold on 1,000 attachments: taken, and renewed once a second and once a minute."""
    service = await world.service(await world.database("holds"))
    key = service.database.api_key
    ids = await service.ready.copy(_OWNED)
    some = messages.resolve(key, ids[:_HELD])
    renewal = messages.resolve(key, ids[:_HELD], hold_ttl=_HOUR, hold_owner="bench")
    large = [
        messages.resolve(key, ids[n : n + _HELD], hold_ttl=_HOUR, hold_owner="large")
        for n in range(0, _OWNED, _HELD)
    ]
    (connection,) = await http2.connect("127.0.0.1", service.process.port, 1)
    for request in [*large, renewal]:
        await connection.call(request)
    connection.close()
    await service.database.pool.execute("VACUUM (ANALYZE)")
    one = messages.resolve(key, ids[:1], hold_ttl=_HOUR, hold_owner="large")
    subjects: list[Subject] = [
        Calls("Resolve, no hold", service.process, Endless([some]), worth=_HELD),
        _taking(service),
        Calls("renewal, once a second", service.process, Endless([renewal]), worth=_HELD),
        _OnceAMinute(service, renewal, some),
        Calls("renewal of 1 of 10,000", service.process, Endless([one])),
    ]
    report.section("Holds", "Counted in ids, 1,000 a call; the hold_ttl is an hour.")
    found = await compare(world, subjects, 1)
    report.series(found)
    _, taken, _, renewed, _ = found
    for name, series, bound in (
        ("taking a hold", taken, 45),
        ("renewing it once a minute", renewed, 22),
    ):
        figure = f"{name} on 1,000: CPU of PostgreSQL per id"
        report.target(figure, bound, _postgres_cpu(series), at_most=True, unit=" µs")


def _taking(service: Service) -> Calls:
    key = service.database.api_key

    async def make(count: int) -> Sequence[http2.Request]:
        made = await service.ready.copy(count * _HELD)
        return [
            messages.resolve(key, made[n : n + _HELD], hold_ttl=_HOUR)
            for n in range(0, len(made), _HELD)
        ]

    return Calls("taking a hold", service.process, Fresh(make), worth=_HELD)


@dataclass(slots=True)
class _OnceAMinute:
    """Renewals between which the database's rows are moved back by a minute."""

    service: Service
    renewal: http2.Request
    reading: http2.Request
    name: str = "renewal, once a minute"

    @property
    def resident(self) -> int:
        return resident_bytes(self.service.process.pid, peak=True)

    async def measure(self, world: World, callers: int, seconds: float) -> Sample:
        """One round: an hour of the holds, regardless of `seconds`; `callers` is always 1."""
        del seconds
        minutes = max(int(_MINUTES * world.effort.scale), 1)
        pool, latencies = self.service.database.pool, list[float]()
        pids = (self.service.process.pid, world.postgres_pid)
        spent = [0.0, 0.0]
        (connection,) = await http2.connect("127.0.0.1", self.service.process.port, callers)
        for _ in range(minutes):
            for statement in _PASS_A_MINUTE:
                await pool.execute(statement)
            # The service reads the rows that were moved. In a real hour, no row would be.
            await connection.call(self.reading)
            before, began = [cpu_seconds(pid) for pid in pids], time.perf_counter()
            await connection.call(self.renewal)
            latencies.append(time.perf_counter() - began)
            spent = [s + cpu_seconds(p) - b for s, p, b in zip(spent, pids, before, strict=True)]
        connection.close()
        ids = minutes * _HELD
        ordered = sorted(latencies)
        return Sample(
            rate=ids / sum(latencies),
            service_cpu=spent[0] / ids * _MICRO,
            postgres_cpu=spent[1] / ids * _MICRO,
            p50=ordered[len(ordered) // 2],
            p99=ordered[-1],
        )


def _postgres_cpu(series: Series) -> Ratio:
    costs = [sample.postgres_cpu for sample in series.samples]
    return Ratio(series.median(lambda sample: sample.postgres_cpu), min(costs), max(costs))
