"""The sweep beside calls."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bench import cores
from bench.measuring import Calls, compare
from bench.report import Report
from bench.rows import Pool
from bench.samples import Ratio, Sample, ratio
from bench.scenarios.basics import get_calls
from bench.servers import Service
from bench.world import World

_ROWS, _DUE = 1_000_000, 100_000
_MINUTE: Final = 60.0
_LEFT: Final = """
SELECT count(*) FROM upload_sessions WHERE tenant_id = $1 AND state = 'pending'
"""
_DUE_TENANT: Final = "forgotten"


async def sweep(world: World, report: Report) -> None:
    """Sweeps 10^5 due sessions of 10^6, with one worker beside Gets."""
    report.section("The sweep")
    if not await world.offers("worker"):
        report.note("Skipped: this `attachery` knows no worker.")
        return
    rows, due = int(_ROWS * world.effort.scale), int(_DUE * world.effort.scale)
    service = await world.service(await world.database("sweep"))
    pool = service.database.pool
    await service.ready.copy(rows - due)
    await service.pending.copy(due, _DUE_TENANT)
    await service.pending.age(_DUE_TENANT, timedelta(hours=2))
    await pool.execute("VACUUM (ANALYZE) upload_sessions, session_events")
    (most,) = await compare(world, [await get_calls(service)], world.effort.most)
    alone = await get_calls(service, "Get, half of the maximum")
    beside = _BesideSweep(await get_calls(service, "Get, beside the sweep"), service)
    alone.rate = beside.calls.rate = most.rate / 2
    without, with_sweep = await compare(world, [alone, beside], world.effort.most)
    report.series([most, without, with_sweep])
    report.note(f"{rows:,} rows, of which {due:,} were due; the sweep ran on {_where()}.")
    swept = beside.swept / beside.seconds * _MINUTE
    report.target("sessions swept a minute by one worker", 10_000, Ratio(swept, swept, swept))
    report.target(
        "p99 of Get beside the sweep / without",
        1.1,
        ratio(with_sweep, without, lambda sample: sample.p99),
        at_most=True,
    )


@dataclass(slots=True)
class _BesideSweep:
    """Calls beside a worker that is started for the round; counts all swept sessions."""

    calls: Calls
    service: Service
    swept: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.calls.name

    @property
    def resident(self) -> int:
        return self.calls.resident

    async def measure(self, world: World, callers: int, seconds: float) -> Sample:
        pool = self.service.database.pool
        async with world.worker(self.service):
            before, began = await _left(pool), time.perf_counter()
            sample = await self.calls.measure(world, callers, seconds)
            self.seconds += time.perf_counter() - began
            self.swept += before - await _left(pool)
        return sample


async def _left(pool: Pool) -> int:
    count: int = await pool.fetchval(_LEFT, _DUE_TENANT)
    return count


def _where() -> str:
    return "the generator's core" if len(cores.ALL) > 1 else "the only core"
