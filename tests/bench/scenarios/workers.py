"""Two server processes on one port, and one."""

from __future__ import annotations

from typing import Final

from bench import cores, messages
from bench.measuring import Calls, Endless, compare
from bench.report import Report
from bench.samples import Series, ratio
from bench.world import World

_MICRO: Final = 1e6


async def workers(world: World, report: Report) -> None:
    """Get with `serve --workers 2` and with one."""
    report.section("Workers")
    if not await world.offers("serve", "--workers"):
        report.note("Skipped: this `attachery serve` knows no --workers.")
        return
    subjects = []
    for count in (1, 2):
        service = await world.service(workers=count)
        ids = await service.ready.copy(2_000)
        gets = Endless(messages.gets(service.database.api_key, ids))
        name = f"Get, {count} worker{'s' if count > 1 else ''}"
        # The kernel distributes connections, not calls, so each caller has its own.
        subjects.append(Calls(name, service.process, gets, connections=world.effort.most))
    one, two = await compare(world, subjects, world.effort.most)
    report.series([one, two])
    most = _allowed(one, two)
    report.note(
        f"{len(cores.ALL)} cores: with what Postgres and the generator take beside them, the most"
        f" they allow two workers is {most:.2f} times one."
    )
    report.target("2 workers / 1 worker, Get per second", 1.7, ratio(two, one))


def _allowed(one: Series, two: Series) -> float:
    """The maximum if the cores executed only these calls, with the CPU time of each."""
    generator = two.median(lambda s: s.generator / s.rate) * _MICRO
    beside = two.median(lambda s: s.postgres_cpu + s.store_cpu) + generator
    alone = _MICRO / one.service_cpu
    together = len(cores.ALL) * _MICRO / (two.service_cpu + beside)
    return min(together / alone, 2.0)
