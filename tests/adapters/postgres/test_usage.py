"""Under any concurrency, the counters equal the sums over the sessions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from attachery_service.domain.checksums import Checksums
from attachery_service.domain.errors import AttacheryError, ResourceExhausted
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.policy import Policy
from attachery_service.domain.quota import Limits, Usage
from attachery_service.domain.sessions import (
    Failure,
    SealedObject,
)
from attachery_service.domain.transitions import Completion, Rejection
from attachery_service.postgres.database import DatabaseOptions, open_database
from attachery_service.postgres.repositories.batches import PostgresBatches
from attachery_service.postgres.repositories.sessions import PostgresSessions
from attachery_service.postgres.repositories.sweep import PostgresSweep
from attachery_service.postgres.repositories.usage import PostgresUsage
from support.new_sessions import new_session as new_session_of
from support.service_fixtures import TENANT, age

MAX_SIZE = 40
LIMITS = Limits(
    max_pending_sessions=24, max_pending_bytes=400, max_stored_bytes=800, max_attachments=40
)
# No limit for the purpose `default`.
MAX_OF_PURPOSE = {"few": 3, "some": 9}
AT_ONCE = 24
HOUR = timedelta(hours=1)
REJECTION = Rejection(Failure("SIZE_MISMATCH", {}), ())


def new_session(size: int | None, purpose: str = "default") -> NewSession:
    policy = Policy(
        max_size=MAX_SIZE,
        max_attachments=MAX_OF_PURPOSE.get(purpose),
        min_ttl=timedelta(minutes=1),
        max_ttl=HOUR,
    )
    return new_session_of(size, tenant_id=TENANT, purpose=purpose, policy=policy)


def completion(size: int) -> Completion:
    return Completion(
        sealed=SealedObject("k", "e"),
        size=size,
        checksums=Checksums(),
        detected_content_type=None,
        checks=(),
    )


@dataclass
class World:
    """The database, the sessions in it, and everything that may happen to them."""

    sessions: PostgresSessions
    batches: PostgresBatches
    usage: PostgresUsage
    sweeps: PostgresSweep
    raw: asyncpg.Pool[asyncpg.Record]
    chance: random.Random
    ids: list[UUID] = field(default_factory=list)
    refused: int = 0

    def any_event(self) -> Callable[[], Awaitable[None]]:
        weights = {
            self.start: 8,
            self.complete: 4,
            self.end_batch: 2,
            self.fail: 1,
            self.cancel: 1,
            self.age: 3,
            self.release: 1,
            self.sweep: 1,
        }
        (event,) = self.chance.choices(list(weights), list(weights.values()))
        return event

    async def start(self) -> None:
        purpose = self.chance.choice(["default", *MAX_OF_PURPOSE])
        new = new_session(self.chance.choice([None, 1, 7, MAX_SIZE]), purpose)
        request = self.chance.choice([None, self._request("Start")])
        dry_run = request is None and self.chance.random() < 0.1
        try:
            await self.sessions.start(new, request, LIMITS, dry_run=dry_run)
        except ResourceExhausted:
            self.refused += 1
        self.ids += [] if dry_run else [new.attachment_id]

    async def complete(self) -> None:
        if found := await self.sessions.find(TENANT, self._any_id()):
            request = self.chance.choice([None, self._request("Complete")])
            done = self._completion(found)
            await self.sessions.complete(found.session, done, request, "tester")

    async def end_batch(self) -> None:
        ids = list({self._any_id() for _ in range(6)})
        found = (await self.batches.find(TENANT, ids, None)).sessions
        outcomes: dict[UUID, Completion | Rejection] = {
            attachment_id: REJECTION if self.chance.random() < 0.2 else self._completion(one)
            for attachment_id, one in found.items()
        }
        if outcomes:
            await self.batches.complete(TENANT, outcomes, None, "tester", atomic=False)

    async def fail(self) -> None:
        if found := await self.sessions.find(TENANT, self._any_id()):
            await self.sessions.fail(found.session, REJECTION, None, "tester")

    async def cancel(self) -> None:
        await self.sessions.cancel(TENANT, self._any_id(), self._request("Cancel"), "tester")

    async def age(self) -> None:
        await age(self.raw, self._any_id(), HOUR * self.chance.choice([0.4, 1.1]))

    async def release(self) -> None:
        await self.usage.release_due(TENANT, self.chance.randint(1, 5))

    async def sweep(self) -> None:
        swept = await self.sweeps.sweep(self.chance.randint(1, 8))
        await self.sweeps.confirm_disposal([session for session in swept if session.dead_keys])

    def _completion(self, found: SessionLookup) -> Completion:
        return completion(found.session.declaration.size or self.chance.randint(1, MAX_SIZE))

    def _any_id(self) -> UUID:
        return self.chance.choice(self.ids[-40:] or [uuid4()])

    def _request(self, method: str) -> RequestKey:
        return RequestKey(method, f"r-{self.chance.randint(1, 200)}", b"payload")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    options = DatabaseOptions(url=database_url, pool_size=AT_ONCE)
    async with open_database(options) as database, asyncpg.create_pool(database_url) as raw:
        chance = random.Random()  # noqa: S311 - to be repeatable
        yield World(
            PostgresSessions(database),
            PostgresBatches(database),
            PostgresUsage(database),
            PostgresSweep(database, HOUR / 2, HOUR / 100, "attachery"),
            raw,
            chance,
        )


Counts = dict[int, tuple[int, ...]]
ByPurpose = dict[tuple[str, int], int]


async def counted(world: World) -> tuple[Counts, ByPurpose]:
    rows = await world.raw.fetch(
        "SELECT shard, pending_sessions, pending_bytes, stored_bytes, attachments FROM tenant_usage"
    )
    counts = {row[0]: tuple(row)[1:] for row in rows if any(tuple(row)[1:])}
    rows = await world.raw.fetch(
        "SELECT purpose, shard, attachments FROM purpose_usage WHERE attachments <> 0"
    )
    return counts, {(row[0], row[1]): row[2] for row in rows}


async def recomputed(world: World) -> tuple[Counts, ByPurpose]:
    rows = await world.raw.fetch(
        """
        SELECT usage_shard,
            count(*) FILTER (WHERE booking = 'pending'),
            coalesce(sum(coalesce(declared_size, max_size)) FILTER (WHERE booking = 'pending'), 0),
            coalesce(sum(size) FILTER (WHERE state = 'ready' AND delete_time IS NULL), 0),
            count(*) FILTER (WHERE booking IN ('pending', 'stored'))
        FROM upload_sessions GROUP BY usage_shard
        """
    )
    counts = {row[0]: tuple(map(int, tuple(row)[1:])) for row in rows if any(tuple(row)[1:])}
    rows = await world.raw.fetch(
        """
        SELECT purpose, usage_shard, count(*) FROM upload_sessions
        WHERE booking IN ('pending', 'stored') GROUP BY purpose, usage_shard
        """
    )
    return counts, {(row[0], row[1]): row[2] for row in rows}


async def there_is(world: World, purpose: str) -> Usage:
    """Computes a tenant's usage from its sessions alone."""
    row = await world.raw.fetchrow(
        """
        SELECT count(*) FILTER (WHERE alive) AS pending_sessions,
            coalesce(sum(coalesce(declared_size, max_size)) FILTER (WHERE alive), 0)::bigint
                AS pending_bytes,
            coalesce(sum(size) FILTER (WHERE delete_time IS NULL), 0)::bigint AS stored_bytes,
            count(*) FILTER (WHERE counts) AS attachments,
            count(*) FILTER (WHERE counts AND purpose = $1) AS of_purpose
        FROM (
            SELECT *, alive OR state = 'ready' AND delete_time IS NULL AS counts
            FROM (
                SELECT *, state <> 'ready' AND upload_url_expire_time > now() AS alive
                FROM upload_sessions
            ) AS s
        ) AS s
        """,
        purpose,
    )
    assert row
    values = dict(row)
    return Usage(by_purpose={purpose: values.pop("of_purpose")}, **values)


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(5))
async def test_counters_equal_the_sums_over_sessions_after_any_interleaving(
    world: World, seed: int
) -> None:
    world.chance.seed(seed)
    for _ in range(12):
        events = [world.any_event()() for _ in range(AT_ONCE)]
        for outcome in await asyncio.gather(*events, return_exceptions=True):
            assert outcome is None, repr(outcome)
        assert await counted(world) == await recomputed(world)
        for purpose in ("default", *MAX_OF_PURPOSE):
            assert await world.usage.of(TENANT, purpose) == await there_is(world, purpose)
        counts, by_purpose = await counted(world)
        sums = [sum(column) for column in zip(*counts.values(), strict=True)]
        assert sums[0] <= (LIMITS.max_pending_sessions or 0)
        assert sums[1] <= (LIMITS.max_pending_bytes or 0)
        assert sums[1] + sums[2] <= (LIMITS.max_stored_bytes or 0)
        assert sums[3] <= (LIMITS.max_attachments or 0)
        for purpose, most in MAX_OF_PURPOSE.items():
            assert sum(n for (name, _), n in by_purpose.items() if name == purpose) <= most
    assert world.refused, "the limits were never reached"


async def test_a_session_without_a_reservation_cannot_end_again(
    world: World,
) -> None:
    new = new_session(None)
    found = await world.sessions.start(new, None, Limits(), dry_run=False)
    assert found
    await world.raw.execute("UPDATE upload_sessions SET booking = 'released'")
    cancelled = await world.sessions.cancel(TENANT, new.attachment_id, None, "tester")
    assert cancelled is None


async def test_starts_go_on_while_a_shard_is_held(world: World) -> None:
    limits = Limits(max_pending_sessions=1000)
    await world.sessions.start(new_session(1), None, limits, dry_run=False)
    async with world.raw.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM tenant_usage WHERE shard = 3 FOR UPDATE")
        async with asyncio.timeout(3):
            for _ in range(20):
                await world.sessions.start(new_session(1), None, limits, dry_run=False)


async def test_a_tenant_at_its_limit_is_refused_without_a_lock(world: World) -> None:
    limits = Limits(max_pending_sessions=1)
    await world.sessions.start(new_session(1), None, limits, dry_run=False)
    async with world.raw.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM tenant_usage FOR UPDATE")
        async with asyncio.timeout(2):
            with pytest.raises(AttacheryError, match="too many pending"):
                await world.sessions.start(new_session(1), None, limits, dry_run=False)


async def test_of_those_that_wait_for_the_last_room_one_gets_it(world: World) -> None:
    limits = Limits(max_pending_sessions=2)

    def start() -> Awaitable[SessionLookup | None]:
        return world.sessions.start(new_session(1), None, limits, dry_run=False)

    await start()
    async with world.raw.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM tenant_usage FOR UPDATE")
        waiting = asyncio.gather(*(start() for _ in range(8)), return_exceptions=True)
        await until_waiting(world, 8)
    outcomes = await waiting
    assert sum(isinstance(outcome, SessionLookup) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ResourceExhausted) for outcome in outcomes) == 7


async def until_waiting(world: World, count: int) -> None:
    """Returns when `count` statements wait for a lock."""
    async with asyncio.timeout(5):
        while count > await world.raw.fetchval(  # noqa: ASYNC110 - Postgres tells nobody
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)


async def test_the_first_starts_of_a_tenant_may_come_all_at_once(world: World) -> None:
    starts = (
        world.sessions.start(new_session(1), None, LIMITS, dry_run=False) for _ in range(AT_ONCE)
    )
    assert all(await asyncio.gather(*starts))
    assert (await world.usage.of(TENANT, "default")).pending_sessions == AT_ONCE


async def test_sessions_of_the_previous_release_are_not_counted(world: World) -> None:
    new = new_session(None)
    found = await world.sessions.start(new, None, LIMITS, dry_run=False)
    assert found
    await world.raw.execute(
        "UPDATE upload_sessions SET booking = NULL, usage_shard = NULL, reserved_bytes = NULL"
    )
    before = await counted(world)
    assert await world.sessions.complete(found.session, completion(1), None, "tester")
    assert await counted(world) == before
