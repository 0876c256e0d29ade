"""Batches: BatchComplete, Resolve, List, and download URLs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench import http2, messages
from bench.measuring import Calls, Endless, Fresh, compare
from bench.report import Report
from bench.samples import ratio
from bench.scenarios.basics import complete_calls, get_calls
from bench.servers import Service
from bench.world import World

_BATCH: Final = 100
# The number of ids, and whether they are held.
_MOST: Final = 1_000
_RESOLVED: Final = ((_MOST, False), (1, False), (100, False), (_MOST, True))
_IDS: Final = 2_000
_PAGE: Final = 100
_REQUESTS: Final = 20


def batch_calls(service: Service) -> Calls:
    key = service.database.api_key

    async def make(count: int) -> Sequence[http2.Request]:
        ids = await service.pending.copy(count * _BATCH)
        batches = (ids[first : first + _BATCH] for first in range(0, len(ids), _BATCH))
        return [messages.batch_complete(key, batch) for batch in batches]

    return Calls("BatchComplete of 100, items", service.process, Fresh(make), worth=_BATCH)


async def batch(world: World, report: Report) -> None:
    """BatchComplete of 100, in items, and Complete."""
    service = await world.service()
    subjects = [complete_calls(service, "Complete, write-once"), batch_calls(service)]
    report.section("BatchComplete", "A hundred at once, counted in items, and one at a time.")
    found = [await compare(world, subjects, callers) for callers in world.effort.callers]
    report.series([series for each in found for series in each])
    single, batched = found[-1]
    report.target("BatchComplete of 100: items / Completes per second", 3, ratio(batched, single))


async def resolve(world: World, report: Report) -> None:
    """Resolve of 1, 100 and 1,000 ids, with a hold and without, and Get."""
    service = await world.service()
    key = service.database.api_key
    ids = await service.ready.copy(_IDS)
    subjects = [await get_calls(service)]
    for size, hold in _RESOLVED:
        if hold and not messages.offers_holds():
            continue
        firsts = range(0, len(ids) - size + 1, max(size, len(ids) // _REQUESTS))
        held = {"hold_ttl": "600s", "hold_owner": "bench"} if hold else {}
        requests = [messages.resolve(key, ids[n : n + size], **held) for n in firsts]
        name = f"Resolve of {size:,}{' with a hold' if hold else ''}, ids"
        subjects.append(Calls(name, service.process, Endless(requests), worth=size))
    subjects.append(await _anew(world, ids))
    report.section(
        "Resolve",
        f"Counted in ids: the same {_IDS:,} again and again, as when many are sent the same. Read"
        " anew: by a service without a cache (ATTACHERY_RESOLVE_REUSE).",
    )
    found = [await compare(world, subjects, callers) for callers in world.effort.callers]
    report.series([series for each in found for series in each])
    get, thousand, *_ = found[-1]
    report.target(
        "Resolve of 1,000: CPU per id / CPU of one Get",
        1 / 25,
        ratio(thousand, get, lambda sample: sample.service_cpu),
        at_most=True,
    )


async def _anew(world: World, ids: Sequence[str]) -> Calls:
    service = await world.service(resolve_reuse=False)
    firsts = range(0, len(ids), _MOST)
    requests = [messages.resolve(service.database.api_key, ids[n : n + _MOST]) for n in firsts]
    name = f"Resolve of {_MOST:,} read anew, ids"
    return Calls(name, service.process, Endless(requests), worth=_MOST)


async def reads(world: World, report: Report) -> None:
    """List of 100, and download URLs."""
    service = await world.service()
    key = service.database.api_key
    ids = await service.ready.copy(2_000)
    subjects = [
        Calls(
            "List of 100, sessions",
            service.process,
            Endless([messages.list_sessions(key, _PAGE)]),
            worth=_PAGE,
        ),
        Calls("CreateDownloadUrl", service.process, Endless(messages.downloads(key, ids))),
    ]
    report.section("List and download URLs")
    found = [await compare(world, subjects, callers) for callers in world.effort.callers]
    report.series([series for each in found for series in each])
