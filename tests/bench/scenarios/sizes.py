"""The effect of the table's size on the cost of a call."""

from __future__ import annotations

import random
from typing import Final

from bench import messages
from bench.measuring import Calls, Endless, compare
from bench.report import Report
from bench.samples import ratio
from bench.scenarios.basics import complete_calls
from bench.servers import Service
from bench.world import World

_SMALL, _LARGE = 10_000, 1_000_000
_ASKED_FOR: Final = 10_000


async def sizes(world: World, report: Report) -> None:
    """Get, Start and Complete on a table of 10^4 rows and of 10^6."""
    services = []
    for name, rows in (("small", _SMALL), ("large", int(_LARGE * world.effort.scale))):
        service = await world.service(await world.database(name))
        services.append((f"{rows:,} rows", service, await _fill(service, rows)))
    report.section("Size of the table", "CPU of the service and of Postgres together, per call.")
    for verb in ("Get", "Start", "Complete"):
        subjects = [_calls(verb, name, service, ids) for name, service, ids in services]
        small, large = await compare(world, subjects, world.effort.most)
        report.series([small, large])
        report.target(
            f"a table of 10^6 rows / of 10^4, cost of {verb}",
            1.15,
            ratio(large, small, lambda sample: sample.total_cpu),
            at_most=True,
        )


async def _fill(service: Service, rows: int) -> list[str]:
    """Fills the table; returns ids from all parts of it."""
    ids = await service.ready.copy(rows)
    # The server would do this sooner or later; here not in the middle of a round.
    for statement in ("VACUUM (ANALYZE) upload_sessions, session_events", "CHECKPOINT"):
        await service.database.pool.execute(statement)
    return random.Random(1).sample(ids, min(_ASKED_FOR, rows))  # noqa: S311


def _calls(verb: str, name: str, service: Service, ids: list[str]) -> Calls:
    key, title = service.database.api_key, f"{verb}, {name}"
    if verb == "Complete":
        return complete_calls(service, title)
    requests = messages.gets(key, ids) if verb == "Get" else [messages.start(key)]
    return Calls(title, service.process, Endless(requests))
