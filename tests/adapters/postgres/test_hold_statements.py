"""Under any concurrency, every attachment lives exactly as long as its holds require."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from attachery_service.domain.errors import InvalidRequest
from attachery_service.domain.holds import Hold, HoldRef, NewHold
from attachery_service.domain.lookups import HoldResult
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.postgres.database import Database, DatabaseOptions, open_database
from attachery_service.postgres.queries import query
from attachery_service.postgres.repositories.holds import PostgresHolds
from attachery_service.postgres.repositories.sessions import PostgresSessions
from support.service_fixtures import TENANT

AT_ONCE = 20
HOUR = timedelta(hours=1)
PERISHABLE = "perishable"

_MAKE_READY = """
INSERT INTO upload_sessions (
    tenant_id, attachment_id, state, purpose, filename, content_type, max_size, declared_checksums,
    disposition, metadata, seal, upload_key, created_by, expire_time, upload_url_expire_time,
    complete_time, object_purge_time, metadata_purge_time, sealed_key, sealed_etag, size, due_time
)
SELECT $1, gen_random_uuid(), 'ready', $3, 'a', 'text/plain', 1, '{}', 'attachment', '{}',
    'write_once', 'k', 'tester', n.soon, n.soon, now(), n.soon, n.soon, 'k', 'e', 1, n.soon
FROM generate_series(1, $2), LATERAL (SELECT now() + interval '1 hour' AS soon) AS n
RETURNING attachment_id
"""

# The latest end of all live holds on each attachment, and the end in its own row.
_BY_HOLDS = """
SELECT s.attachment_id, h.end_time, s.held_until
FROM upload_sessions AS s, LATERAL (
    SELECT max(h.expire_time) AS end_time
    FROM held_attachments AS m JOIN holds AS h USING (tenant_id, hold_id)
    WHERE m.attachment_id = s.attachment_id AND h.release_time IS NULL AND h.expire_time > now()
) AS h
WHERE s.delete_time IS NULL AND greatest(s.object_purge_time, s.held_until, h.end_time) > now()
"""

# Moves a hold one day into the past.
_END = """
WITH ended AS (
    UPDATE holds SET create_time = create_time - interval '8 d',
        expire_time = expire_time - interval '8 d'
    WHERE hold_id = $1
), own AS (
    UPDATE held_attachments SET end_time = end_time - interval '8 d' WHERE hold_id = $1
)
UPDATE upload_sessions AS s SET held_until = (
    SELECT max(least(h.expire_time, s.metadata_purge_time))
    FROM held_attachments AS m JOIN holds AS h USING (tenant_id, hold_id)
    WHERE m.attachment_id = s.attachment_id AND h.release_time IS NULL AND h.hold_id <> $1
)
WHERE attachment_id IN (SELECT attachment_id FROM held_attachments WHERE hold_id = $1)
"""


def ref(hold_id: UUID) -> HoldRef:
    return HoldRef(tenant_id=TENANT, hold_id=hold_id, owner="", created_by="tester")


@dataclass
class World:
    """The database, attachments in it, and all changes of their holds."""

    database: Database
    holds: PostgresHolds
    raw: asyncpg.Pool[asyncpg.Record]
    chance: random.Random
    ids: list[UUID] = field(default_factory=list)
    hold_ids: list[UUID] = field(default_factory=list)

    async def make_ready(self, count: int, purpose: str = "default") -> list[UUID]:
        rows = await self.raw.fetch(_MAKE_READY, TENANT, count, purpose)
        return [row["attachment_id"] for row in rows]

    async def take(
        self,
        ids: Sequence[UUID],
        owner: str = "",
        ttl: timedelta = HOUR * 2,
        *,
        all_or_nothing: bool = False,
    ) -> HoldResult:
        new = NewHold(tenant_id=TENANT, hold_id=uuid4(), owner=owner, created_by="tester", ttl=ttl)
        return await self.holds.take(new, ids, all_or_nothing=all_or_nothing)

    async def replace(self, ids: Sequence[UUID], owner: str) -> HoldResult:
        new = NewHold(
            tenant_id=TENANT,
            hold_id=uuid4(),
            owner=owner,
            created_by="tester",
            ttl=HOUR * 2,
            replaces=True,
        )
        return await self.holds.take(new, ids, all_or_nothing=True)

    async def members(self, owner: str) -> set[UUID]:
        name = HoldRef(tenant_id=TENANT, hold_id=None, owner=owner, created_by="tester")
        found = await self.holds.get(name, UUID(int=0), 10_000)
        assert found
        assert found.hold.attachment_count == len(found.attachment_ids)
        return set(found.attachment_ids)

    async def release(self, hold_id: UUID, *, consumed: bool = False) -> Hold | None:
        return await self.holds.release(
            ref(hold_id), "tester", consumed=consumed, delete_when_consumed_purposes=[PERISHABLE]
        )

    def any_event(self) -> Callable[[], Awaitable[None]]:
        weights = {
            self.any_take: 8,
            self.any_replace: 4,
            self.any_extend: 4,
            self.any_release: 3,
        }
        (event,) = self.chance.choices(list(weights), list(weights.values()))
        return event

    async def any_take(self) -> None:
        ids = self.chance.sample(self.ids, self.chance.randint(1, len(self.ids)))
        owner = self.chance.choice(["", "one", "two", "three"])
        held = await self.take(
            ids, owner, self._any_ttl(), all_or_nothing=self.chance.random() < 0.2
        )
        if held.hold is not None:
            self.hold_ids.append(held.hold.hold_id)

    async def any_replace(self) -> None:
        ids = self.chance.sample(self.ids, self.chance.randint(1, 4))
        held = await self.replace(ids, self.chance.choice(["one", "two", "three"]))
        if held.hold is not None:
            self.hold_ids.append(held.hold.hold_id)

    async def any_extend(self) -> None:
        await self.holds.extend(ref(self._any_hold()), self._any_ttl())

    async def any_release(self) -> None:
        await self.release(self._any_hold(), consumed=self.chance.random() < 0.3)

    async def end_one(self) -> None:
        await self.raw.execute(_END, self._any_hold())

    async def held_until(self, attachment_id: UUID) -> datetime | None:
        return (await self.read([attachment_id]))[attachment_id].held_until

    async def read(self, ids: Sequence[UUID]) -> Mapping[UUID, UploadSession]:
        """Reads the sessions as Resolve does."""
        return await PostgresSessions(self.database).resolve(TENANT, ids)

    async def wrongly_held(self) -> list[object]:
        """Returns attachments with an end other than that of their holds, as read or as stored."""
        rows = await self.raw.fetch(_BY_HOLDS)
        sessions = await self.read([row["attachment_id"] for row in rows])
        return [row for row in rows if _is_wrong(row, sessions[row["attachment_id"]])]

    async def deadlocks(self) -> int:
        count: int = await self.raw.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return count

    def _any_hold(self) -> UUID:
        return self.chance.choice(self.hold_ids[-12:] or [uuid4()])

    def _any_ttl(self) -> timedelta:
        return timedelta(minutes=self.chance.randint(30, 300))


def _is_wrong(row: asyncpg.Record, session: UploadSession) -> bool:
    seen, told = session.held_until, row["held_until"]
    if seen is not None and seen <= session.read_time:
        seen = None
    is_late = told is not None and told > session.read_time and told > row["end_time"]
    return seen != row["end_time"] or is_late or session.state is not SessionState.READY


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    options = DatabaseOptions(url=database_url, pool_size=AT_ONCE, statement_timeout=30)
    async with open_database(options) as database, asyncpg.create_pool(database_url) as raw:
        chance = random.Random()  # noqa: S311 - to be repeatable
        yield World(database, PostgresHolds(database), raw, chance)


@pytest.mark.sample(1)
@pytest.mark.parametrize("seed", range(5))
async def test_every_read_returns_the_latest_end_of_live_holds_after_any_interleaving(
    world: World, seed: int
) -> None:
    world.chance.seed(seed)
    world.ids = await world.make_ready(6) + await world.make_ready(4, PERISHABLE)
    for _ in range(10):
        events = [world.any_event()() for _ in range(AT_ONCE)]
        for outcome in await asyncio.gather(*events, return_exceptions=True):
            assert outcome is None, repr(outcome)
        assert await world.wrongly_held() == []
        await world.end_one()
    assert await world.deadlocks() == 0


@pytest.mark.parametrize("owner", ["", "one"])
async def test_holds_on_the_same_attachments_in_any_order_never_deadlock(
    world: World, owner: str
) -> None:
    world.chance.seed(1)
    ids = await world.make_ready(200)
    takes = [
        world.take(world.chance.sample(ids, 150), owner and f"{owner}-{number % 3}")
        for number in range(AT_ONCE)
    ]
    assert all(held.hold for held in await asyncio.gather(*takes))
    assert await world.deadlocks() == 0
    assert await world.wrongly_held() == []


async def test_calls_of_one_owner_at_once_share_one_hold(world: World) -> None:
    ids = await world.make_ready(AT_ONCE)
    takes = [world.take([i], "job", HOUR * number) for number, i in enumerate(ids, start=2)]
    outcomes = await asyncio.gather(*takes)
    assert len({held.hold.hold_id for held in outcomes if held.hold}) == 1
    last = (await world.take(ids[:1], "job")).hold
    assert last
    assert last.attachment_count == AT_ONCE
    # Those that came first live as long as the one with the latest end.
    assert {await world.held_until(i) for i in ids} == {last.expire_time}


@pytest.mark.exhaustive
async def test_replacements_of_one_owner_at_once_leave_exactly_one_of_their_lists(
    world: World,
) -> None:
    world.chance.seed(3)
    ids = await world.make_ready(12)
    for _ in range(10):
        lists = [set(world.chance.sample(ids, world.chance.randint(1, 6))) for _ in range(AT_ONCE)]
        outcomes = await asyncio.gather(*(world.replace(list(each), "job") for each in lists))
        counts = [held.hold and held.hold.attachment_count for held in outcomes]
        assert counts == [len(each) for each in lists]
        assert await world.members("job") in lists
        assert await world.wrongly_held() == []
    assert await world.deadlocks() == 0


async def test_a_thousand_attachments_are_replaced_in_one_hold(world: World) -> None:
    ids = await world.make_ready(1500)
    for part in (ids[:1000], ids[500:], ids[:1]):
        held = await world.replace(part, "job")
        assert held.hold
        assert held.hold.attachment_count == len(part)
        assert await world.members("job") == set(part)
    assert await world.wrongly_held() == []


async def test_to_hold_changes_no_index(world: World) -> None:
    ids = await world.make_ready(5)
    take = query("holds/take")
    values = {
        "tenant_id": TENANT,
        "attachment_ids": ids,
        "all_or_nothing": False,
        "replaces": False,
        "hold_id": uuid4(),
        "owner": "",
        "created_by": "tester",
        "ttl": HOUR * 2,
        "max_attachments": 10,
        "settled_count": None,
        "versions": [None] * 5,
    }
    async with world.raw.acquire() as connection, connection.transaction():
        await connection.fetch(take.text, *take.bind(values))
        row = await connection.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables"
            " WHERE relname = 'upload_sessions'"
        )
    assert row
    assert tuple(row) == (5, 5)


async def test_the_work_grows_linearly_with_the_request(world: World) -> None:
    ids = await world.make_ready(300)
    holds = [(await world.take(ids, "job" if n else "")).hold for n in range(4)]
    assert holds[0]
    assert holds[1]

    def taken(count: int) -> dict[str, object]:
        return {
            "attachment_ids": ids[:count],
            "all_or_nothing": True,
            "replaces": False,
            "hold_id": uuid4(),
            "owner": "job",
            "created_by": "tester",
            "ttl": HOUR,
            "max_attachments": 1000,
            "settled_count": None,
            "versions": [None] * count,
        }

    renewed = holds[1].hold_id
    # Of 300 held attachments, renewing one and extending all read only a few rows.
    for name, values, at_most in (
        ("holds/take", taken(300), 3000),
        ("holds/take", taken(1), 30),
        (
            "holds/extend",
            {
                "hold_id": renewed,
                "owner": "",
                "created_by": "tester",
                "ttl": HOUR,
                "settled_count": None,
            },
            30,
        ),
        (
            "holds/release",
            {
                "hold_id": holds[0].hold_id,
                "consumed": True,
                "purposes": [PERISHABLE],
                "actor": "tester",
            },
            3000,
        ),
    ):
        async with world.raw.acquire() as connection, connection.transaction():
            statement = query(name)
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
            bound = statement.bind({"tenant_id": TENANT, **values})
            plan = json.loads(await connection.fetchval(explain, *bound))
            assert max(rows_seen(plan[0]["Plan"])) <= at_most, name


async def test_a_replacement_that_drops_nothing_is_one_statement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await world.make_ready(4)
    await world.replace(ids[:2], "job")
    await world.replace(ids[:3], "job")
    monkeypatch.delattr(Database, "transaction")
    for _ in range(2):
        await world.replace(ids, "job")
        assert await world.members("job") == set(ids)


async def test_a_page_reads_only_its_own_holds(world: World) -> None:
    ids = await world.make_ready(400)
    takes = [world.take(ids[n : n + 5], f"job-{n}") for n in range(0, 400, 5)]
    for started in range(0, len(takes), AT_ONCE):
        await asyncio.gather(*takes[started : started + AT_ONCE])
    await world.raw.execute("ANALYZE holds, held_attachments")
    first = {"tenant_id": TENANT, "after": UUID(int=0), "limit": 51}
    for name, values in (
        ("holds/list", {"owner": "job-5", "attachment_id": None}),
        ("holds/list", {"owner": "", "attachment_id": ids[7]}),
        ("holds/list", {"owner": "job-5", "attachment_id": ids[7]}),
        ("holds/get", {"hold_id": None, "owner": "job-5", "created_by": "tester"}),
    ):
        statement = query(name)
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
        plan = json.loads(await world.raw.fetchval(explain, *statement.bind({**first, **values})))
        assert max(rows_seen(plan[0]["Plan"])) <= 20, (name, values, plan)


def rows_seen(node: dict[str, Any]) -> Iterator[float]:
    """Returns how many rows each step of a plan has read."""
    dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    yield (node["Actual Rows"] + dropped) * node["Actual Loops"]
    for part in node.get("Plans", ()):
        yield from rows_seen(part)


async def test_reads_equal_those_of_resolve(world: World) -> None:
    ids = [*await world.make_ready(3), uuid4()]
    await world.raw.execute(
        "UPDATE upload_sessions SET delete_time = now(), booking = NULL WHERE attachment_id = $1",
        ids[0],
    )
    held = await world.take(ids, ttl=timedelta(minutes=1))
    plain = await PostgresSessions(world.database).resolve(TENANT, ids)
    assert list(held.sessions) != []
    assert set(held.sessions) == set(plain) == set(ids[:3])
    for attachment_id, session in plain.items():
        mine = held.sessions[attachment_id]
        assert (mine.state, mine.revision, mine.object_purge_time, mine.declaration) == (
            session.state,
            session.revision,
            session.object_purge_time,
            session.declaration,
        )
    assert held.sessions[ids[0]].state is SessionState.DELETED
    assert held.hold
    assert held.hold.attachment_count == 2


async def test_the_hold_of_an_owner_has_a_largest_size(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attachery_service.postgres.repositories.holds.MAX_ATTACHMENTS", 3)
    ids = await world.make_ready(4)
    await world.take(ids[:3], "job")
    await world.take(ids[:3], "job")
    with pytest.raises(InvalidRequest) as caught:
        await world.take(ids[3:], "job")
    assert (caught.value.reason, caught.value.facts["maxCount"]) == ("BATCH_TOO_LARGE", "3")
    assert await world.held_until(ids[3]) is None
    assert (await world.take(ids[3:])).hold


async def test_a_released_attachment_is_due_at_once(world: World) -> None:
    (attachment_id,) = await world.make_ready(1)
    held = await world.take([attachment_id], ttl=HOUR * 5)
    # As the sweep leaves it after it has found the attachment held past its own time.
    await world.raw.execute(
        "UPDATE upload_sessions SET due_time = held_until,"
        " expire_time = create_time + interval '1 us',"
        " object_purge_time = create_time + interval '2 us'"
    )
    assert held.hold
    await world.release(held.hold.hold_id)
    row = await world.raw.fetchrow(
        "SELECT held_until, due_time = object_purge_time AS due FROM upload_sessions"
    )
    assert row
    assert tuple(row) == (None, True)
