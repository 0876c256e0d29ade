"""The scenarios by name, in the order of a full run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from bench.report import Report
from bench.scenarios import (
    basics,
    batches,
    floors,
    footprint,
    holds,
    keys,
    mixed,
    outage,
    overload,
    sizes,
    stores,
    sweep,
    tenants,
    workers,
)
from bench.world import World

Scenario = Callable[[World, Report], Awaitable[None]]

SCENARIOS: Final[Mapping[str, Scenario]] = {
    "floors": floors.floors,
    "get": basics.get,
    "start": basics.start,
    "complete": basics.complete,
    "batch": batches.batch,
    "resolve": batches.resolve,
    "holds": holds.holds,
    "reads": batches.reads,
    "mixed": mixed.mixed,
    "workers": workers.workers,
    "overload": overload.overload,
    "footprint": footprint.footprint,
    "tenants": tenants.tenants,
    "keys": keys.keys,
    "sizes": sizes.sizes,
    "sweep": sweep.sweep,
    "stores": stores.stores,
    "outage": outage.outage,
}

# Scenarios that start every kind of server, and take under two minutes.
QUICK: Final = ("floors", "get", "start", "complete", "batch", "resolve", "workers", "sweep")
