"""The footprint of one server process: memory under load, and time to its first response."""

from __future__ import annotations

import time
from statistics import median
from typing import Final

from bench import http2, messages
from bench.cpu import resident_bytes
from bench.measuring import compare
from bench.report import Report
from bench.samples import Ratio
from bench.scenarios.basics import complete_calls, get_calls
from bench.world import World

_MIB: Final = 2**20


async def footprint(world: World, report: Report) -> None:
    """Measures memory under load, and the time from the start to the first response."""
    report.section("Footprint")
    service = await world.service()
    starts = [await _first_answer(world) for _ in range(world.effort.rounds)]
    subjects = [await get_calls(service), complete_calls(service, "Complete, write-once")]
    report.series(await compare(world, subjects, world.effort.most))
    resident = resident_bytes(service.process.pid) / _MIB
    memory = Ratio(resident, resident, resident)
    report.target("one worker under load: resident memory", 110, memory, at_most=True, unit=" MiB")
    begun = Ratio(median(starts), min(starts), max(starts))
    report.target("start to first answer", 1.5, begun, at_most=True, unit=" s")


async def _first_answer(world: World) -> float:
    """Seconds from the start of the process to its first response to a caller."""
    service = await world.service()
    (attachment_id,) = await service.ready.copy(1)
    (get,) = messages.gets(service.database.api_key, [attachment_id])
    async with world.another(service) as process:
        ready = time.perf_counter()
        (connection,) = await http2.connect("127.0.0.1", process.port, 1)
        await connection.call(get)
        connection.close()
        return process.start_seconds + time.perf_counter() - ready
