"""The cost of single steps: a statement, a HEAD, encoding."""

from __future__ import annotations

from typing import Final

from bench.measuring import Step, compare
from bench.report import Report
from bench.scenarios.basics import head_step
from bench.world import World

_ATTACHMENTS: Final = 1_000
_TABLE: Final = """
CREATE TABLE floor (id uuid PRIMARY KEY, state text, revision integer, payload text);
INSERT INTO floor
SELECT gen_random_uuid(), 'pending', 1, repeat('x', 200) FROM generate_series(1, 10000);
"""


async def floors(world: World, report: Report) -> None:
    """Raw statements over asyncpg, a raw signed HEAD, encoding 1,000 attachments."""
    service = await world.service()
    database = await world.database("floors")
    await database.pool.execute(_TABLE)
    told = ["--database", database.url]
    subjects = [
        Step("SELECT by key, asyncpg", "select", told),
        Step("INSERT … RETURNING, durable", "insert", told),
        Step("UPDATE … RETURNING, durable", "update", told),
        await head_step(service),
        await head_step(service, client="own"),
        Step("1,000 attachments built and encoded, each", "encode", worth=_ATTACHMENTS),
    ]
    report.section(
        "Floors",
        "One step alone, with the service's process settings; statements on 16 connections.",
    )
    report.series(await compare(world, subjects, world.effort.most))
