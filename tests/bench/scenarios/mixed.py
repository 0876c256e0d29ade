"""Latency at half of the maximum: of Get, and of a mixture."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from bench import http2, messages
from bench.measuring import Calls, Fresh, compare
from bench.report import Report
from bench.samples import Ratio, Series
from bench.scenarios.basics import answer_size, echo_calls, get_calls
from bench.servers import Service
from bench.world import World

# Shares of ten calls.
_STARTS, _COMPLETES, _GETS, _RESOLVES, _DOWNLOADS = 2, 2, 4, 1, 1
_RESOLVED: Final = 10
_TEN: Final = 10


async def mixed(world: World, report: Report) -> None:
    """Get, and a mixture of calls, at a fixed rate: half of the maximum."""
    service = await world.service()
    gets, mixture = await get_calls(service), await _mixture(service)
    echo = await echo_calls(world, await answer_size(gets), like_the_service=True)
    report.section(
        "Half of the maximum",
        "Calls come at a fixed rate, whether the ones before are answered or not; a latency counts"
        " from when its call was due. The mixture: of ten calls two Starts, two Completes, four"
        " Gets, one Resolve of ten and one download URL. The echo, with the service's process"
        " settings, is called as often as Get: its tail is that of the library and the machine.",
    )
    (most_gets,) = await compare(world, [gets], world.effort.most)
    rate = most_gets.rate / 2
    paced = [_at(rate, echo, "echo, as often"), _at(rate, gets, "Get, half")]
    echoed, half = await compare(world, paced, world.effort.most)
    (most,) = await compare(world, [mixture], world.effort.most)
    paced = [_at(most.rate / 2, mixture, "mixture, half")]
    mixed_half = await compare(world, paced, world.effort.most)
    report.series([most_gets, half, echoed, most, *mixed_half])
    report.target("p99 / p50 of Get at half of its maximum", 3, _spread(half), at_most=True)


def _at(rate: float, calls: Calls, name: str) -> Calls:
    return Calls(name, calls.server, calls.requests, rate=rate)


def _spread(series: Series) -> Ratio:
    spreads = [sample.p99 / sample.p50 for sample in series.samples]
    return Ratio(series.median(lambda s: s.p99 / s.p50), min(spreads), max(spreads))


async def _mixture(service: Service) -> Calls:
    key = service.database.api_key
    ready = await service.ready.copy(2_000)
    gets, downloads = messages.gets(key, ready), messages.downloads(key, ready)
    resolves = [
        messages.resolve(key, ready[first : first + _RESOLVED])
        for first in range(0, len(ready), _RESOLVED)
    ]
    start = messages.start(key)
    choose = random.Random(1)  # noqa: S311 - the same mixture in every run

    async def make(count: int) -> Sequence[http2.Request]:
        tens = count // _TEN + 1
        pending = await service.pending.copy(_COMPLETES * tens)
        made = [
            *[start] * (_STARTS * tens),
            *messages.completes(key, pending),
            *choose.choices(gets, k=_GETS * tens),
            *choose.choices(resolves, k=_RESOLVES * tens),
            *choose.choices(downloads, k=_DOWNLOADS * tens),
        ]
        choose.shuffle(made)
        return made

    return Calls("mixture", service.process, Fresh(make))
