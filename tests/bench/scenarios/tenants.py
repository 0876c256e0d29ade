"""The cost of Starts of many tenants, compared with Starts of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bench import messages
from bench.measuring import Calls, Endless, compare
from bench.report import Report
from bench.samples import ratio
from bench.world import World

_TENANTS: Final = 64
_LIMITS: Final[Mapping[str, Any]] = {
    "max_pending_sessions": 10**9,
    "max_pending_bytes": 10**15,
    "max_stored_bytes": 10**15,
}


async def tenants(world: World, report: Report) -> None:
    """64 Starts at a time under quotas, of one tenant and of 64."""
    service = await world.service(**_LIMITS)
    key = service.database.api_key
    many = [messages.start(key, f"tenant-{number}") for number in range(_TENANTS)]
    subjects = [
        Calls("Start, 64 tenants", service.process, Endless(many)),
        Calls("Start, one tenant", service.process, Endless([messages.start(key, "busy")])),
    ]
    report.section("Starts of many tenants", "With quotas, which are booked in the same statement.")
    spread, one = await compare(world, subjects, world.effort.most)
    report.series([spread, one])
    report.target("64 Starts of one tenant / of 64 tenants", 0.8, ratio(one, spread))
    report.target(
        "64 Starts of 64 tenants / of one tenant: CPU of service and PostgreSQL",
        1.25,
        ratio(spread, one, lambda sample: sample.total_cpu),
        at_most=True,
    )
