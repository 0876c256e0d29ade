"""The same calls on a real S3 server, which then dominates the measurement."""

from __future__ import annotations

from collections.abc import Sequence

from bench import messages
from bench.measuring import Calls, Endless, Fresh, Subject, compare
from bench.report import Report
from bench.scenarios.basics import complete_calls, head_step
from bench.world import World


async def stores(world: World, report: Report) -> None:
    """Start and Complete on the S3 server of the tests, ministack."""
    store = await world.test_store()
    service = await world.service(store=store)
    sniffing = await world.service(store=store, sniffing="report")
    key = service.database.api_key
    peer = await world.peer(service.database, store)

    async def make(count: int) -> Sequence[bytes]:
        return messages.peer_completes(key, await service.pending.copy(count))

    subjects: list[Subject] = [
        await head_step(service),
        Calls("peer: Start", peer, Endless([messages.peer_start(key)]), rest=True),
        Calls("Start, PUT target", service.process, Endless([messages.start(key)])),
        Calls("peer: Complete", peer, Fresh(make), rest=True),
        complete_calls(service, "Complete, write-once"),
        complete_calls(sniffing, "Complete, write-once, type detected from the bytes"),
    ]
    report.section("On the test store", "ministack, an S3 server in Python, beside the generator.")
    report.series(await compare(world, subjects, world.effort.most))
