"""The cost of authentication."""

from __future__ import annotations

from typing import Final

from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import ALL_SCOPES
from bench import messages
from bench.measuring import Calls, Endless, compare
from bench.report import Report
from bench.rows import Pool
from bench.samples import Ratio, Series
from bench.world import World

_KEYS: Final = 10_000
# Longer than keys are cached by default, so each is looked up more than once in a round.
_ROUND_SECONDS: Final = 6.0
_HOUR: Final = 3_600


async def keys(world: World, report: Report) -> None:
    """Get with 10,000 keys: all cached, cached for 5 s and cold at first, none cached."""
    number = max(int(_KEYS * world.effort.scale), 1)
    caches = {"all keys kept": _HOUR, "kept for 5 s, cold at first": 5.0, "none kept": 0.0}
    services = {name: await world.service(key_cache_time=time) for name, time in caches.items()}
    some = next(iter(services.values()))
    made = await _make(some.database.pool, number)
    ids = await some.ready.copy(1)
    gets = [messages.gets(key, ids)[0] for key in made]
    subjects = [
        Calls(f"Get, {name}", service.process, Endless(gets), seconds=_ROUND_SECONDS)
        for name, service in services.items()
    ]
    report.section("Authentication", f"Each call comes with the next of {number:,} keys.")
    warm, kept, cold = await compare(world, subjects, world.effort.most)
    report.series([warm, kept, cold])
    report.note(
        f"A lookup at every call adds {_share(cold, warm).value:.0%} to a Get's CPU time, of the"
        " service and Postgres together. Kept for 5 s, all are read in one statement each time,"
        " the first time included."
    )
    report.target(
        f"knowing {number:,} keys, from a cold cache on, as a share of a Get's CPU",
        0.05,
        _share(kept, warm),
        at_most=True,
    )


def _share(with_lookups: Series, without: Series) -> Ratio:
    rounds = [
        (a.total_cpu - b.total_cpu) / a.total_cpu
        for a, b in zip(with_lookups.samples, without.samples, strict=True)
    ]
    most, least = with_lookups.median(lambda s: s.total_cpu), without.median(lambda s: s.total_cpu)
    return Ratio((most - least) / most, min(rounds), max(rounds))


async def _make(pool: Pool, count: int) -> list[str]:
    made = [ApiKey.generate() for _ in range(count)]
    scopes = [scope.value for scope in ALL_SCOPES]
    await pool.copy_records_to_table(
        "api_keys",
        records=[(key.key_id, "bench", key.secret_digest, scopes) for key in made],
        columns=["key_id", "name", "secret_digest", "scopes"],
    )
    return [key.text for key in made]
