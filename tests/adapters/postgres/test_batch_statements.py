"""Calls that share a statement have the same results as calls on their own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from attachery_service.domain.checks import Check, CheckKind, CheckMethod, CheckOutcome
from attachery_service.domain.checksums import Checksums
from attachery_service.domain.declarations import Declaration, Disposition
from attachery_service.domain.errors import MalformedRequest, ResourceExhausted
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession, StartCommand
from attachery_service.domain.policy import Policy, UndeclaredSize
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import (
    FailedSession,
    Failure,
    ReadySession,
    Seal,
    SealedObject,
    SessionState,
    UploadSession,
)
from attachery_service.domain.transitions import Claim, Completion, Rejection
from attachery_service.postgres.database import Database, DatabaseOptions, open_database
from attachery_service.postgres.queries import Query, query
from attachery_service.postgres.repositories.sessions import PostgresSessions
from support.service_fixtures import TENANT

HOUR = timedelta(hours=1)
NO_LIMITS = Limits(max_pending_sessions=None, max_pending_bytes=None, max_stored_bytes=None)

PLAIN_COMMAND = StartCommand(
    tenant_id=TENANT,
    request=None,
    declaration=Declaration(
        filename="a",
        content_type="text/plain",
        size=7,
        checksums=Checksums(),
        content_id=None,
        disposition=Disposition.ATTACHMENT,
        is_inline=False,
        metadata={},
    ),
    purpose="default",
    policy=Policy(max_size=40, min_ttl=timedelta(minutes=1), max_ttl=2 * HOUR),
    ttl=HOUR,
    expire_time=None,
    object_retention=HOUR,
    metadata_retention=24 * HOUR,
    auto_complete=False,
    validate_only=False,
)
FULL_COMMAND = replace(
    PLAIN_COMMAND,
    declaration=Declaration(
        filename='ü "\\{},日本.pdf',
        content_type="image/png; q=1",
        size=None,
        checksums=Checksums(md5="0" * 32, crc32c="1" * 8),
        content_id="a@b",
        disposition=Disposition.INLINE,
        is_inline=True,
        metadata={"a": 'NULL,"{}', "ä": ""},
    ),
    purpose="other",
    policy=dataclasses.replace(PLAIN_COMMAND.policy, undeclared_size=UndeclaredSize.PUT),
    auto_complete=True,
)
PLAIN = NewSession(
    command=PLAIN_COMMAND,
    attachment_id=uuid4(),
    upload_key="k",
    seal=Seal.WRITE_ONCE,
    created_by="tester",
    subject=None,
)
FULL = NewSession(
    command=FULL_COMMAND,
    attachment_id=uuid4(),
    upload_key='k/"{NULL}"',
    seal=Seal.COPY,
    created_by="nobody, {really}",
    subject='{"visitor",NULL}',
)


def varied(new: NewSession, **changes: Any) -> NewSession:
    return replace(new, command=replace(new.command, **changes))


VARIED = [
    PLAIN,
    FULL,
    varied(PLAIN, ttl=timedelta(minutes=1), object_retention=3 * HOUR),
    varied(PLAIN, expire_time=datetime.now(UTC) + HOUR, metadata_retention=timedelta(minutes=2)),
    varied(FULL, ttl=timedelta(minutes=2), metadata_retention=48 * HOUR),
]
CHECKS = (
    Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.PASSED),
    Check(CheckKind.SIZE, CheckMethod.HEAD, CheckOutcome.PASSED, "7", "7"),
)


@dataclass
class World:
    """One database, queried by shared and by single statements."""

    database: Database
    raw: asyncpg.Pool[asyncpg.Record]
    together: PostgresSessions
    alone: PostgresSessions

    async def outcomes(self) -> list[dict[str, Any]]:
        """Returns outcomes by request id, without the values that always differ."""
        found = await self.raw.fetch(
            "SELECT method, request_id, payload_digest, checks FROM request_outcomes"
            " ORDER BY method, request_id"
        )
        return [dict(row) for row in found]

    async def rows(self, ids: Sequence[UUID]) -> list[dict[str, Any]]:
        """Returns rows with their histories, without the values that always differ."""
        found = await self.raw.fetch(
            "SELECT s.*, coalesce(array_agg(to_jsonb(e) ORDER BY e.revision), '{}') AS events"
            " FROM unnest($1::uuid[]) WITH ORDINALITY AS i (id, n)"
            " JOIN upload_sessions AS s ON s.attachment_id = i.id"
            " LEFT JOIN session_events AS e USING (tenant_id, attachment_id)"
            " GROUP BY i.n, s.tenant_id, s.attachment_id ORDER BY i.n",
            ids,
        )
        return [_comparable(dict(row)) for row in found]


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    begun = row["create_time"]
    for name, value in row.items():
        if isinstance(value, datetime):
            row[name] = round((value - begun) / timedelta(seconds=10))
    row["events"] = [json.loads(event) for event in row["events"]]
    for event in row["events"]:
        del event["attachment_id"], event["event_time"], event["request_id"]
    del row["attachment_id"], row["usage_shard"]
    return row


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    options = DatabaseOptions(url=database_url)
    async with open_database(options) as database, asyncpg.create_pool(database_url) as raw:
        alone = PostgresSessions(database, coalesce=False)
        # Creates the tenant's counters, which a shared statement does not.
        await alone.start(PLAIN, None, NO_LIMITS, dry_run=False)
        yield World(database, raw, PostgresSessions(database), alone)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the names of the statements with several elements that returned a row."""
    names = {
        "sessions": "sessions/start",
        "lookups": "sessions/find",
        "outcomes": "sessions/complete",
    }
    seen: list[str] = []
    real = Database.rows

    async def noted(self: Database, statement: Query, **values: object) -> Any:
        rows = await real(self, statement, **values)
        seen.extend(
            name
            for elements, name in names.items()
            if elements in values and len(json.loads(str(values[elements]))) > 1 and rows
        )
        return rows

    monkeypatch.setattr(Database, "rows", noted)
    return seen


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Query]:
    """Records every statement that is sent."""
    statements: list[Query] = []

    def noted(real: Any) -> Any:
        async def run(self: Database, statement: Query, **values: object) -> Any:
            statements.append(statement)
            return await real(self, statement, **values)

        return run

    monkeypatch.setattr(Database, "row", noted(Database.row))
    monkeypatch.setattr(Database, "rows", noted(Database.rows))
    return statements


def anew(sessions: Sequence[NewSession]) -> list[NewSession]:
    return [replace(each, attachment_id=uuid4()) for each in sessions]


def requests(method: str, count: int, prefix: str = "r") -> list[RequestKey]:
    return [RequestKey(method, f"{prefix}-{n}", bytes([n])) for n in range(count)]


async def started(
    sessions: PostgresSessions,
    new: Sequence[NewSession],
    given: Sequence[RequestKey | None] | None = None,
) -> list[SessionLookup | None]:
    calls = (
        sessions.start(each, request, NO_LIMITS, dry_run=False)
        for each, request in zip(new, given or [None] * len(new), strict=True)
    )
    return list(await asyncio.gather(*calls))


async def test_a_start_leaves_the_same_row_and_history(world: World, shared: list[str]) -> None:
    one, other = anew(VARIED), anew(VARIED)
    theirs = await started(world.together, one)
    assert shared == ["sessions/start"]
    own = await started(world.alone, other)
    assert [f and f.session.attachment_id for f in theirs] == [n.attachment_id for n in one]
    assert await world.rows([n.attachment_id for n in one]) == await world.rows(
        [n.attachment_id for n in other]
    )
    for mine, alone in zip(theirs, own, strict=True):
        assert mine is not None
        assert alone is not None
        assert mine.session.declaration == alone.session.declaration
        assert mine.session.state is SessionState.PENDING


async def test_starts_are_stored_under_their_request_ids(world: World, shared: list[str]) -> None:
    new, given = anew(VARIED), requests("Start", len(VARIED))
    first = await started(world.together, new, given)
    again = await started(world.together, anew(VARIED), given)
    alone = await started(world.alone, anew(VARIED), given)
    assert shared == ["sessions/start"]
    for one, repeated, other in zip(first, again, alone, strict=True):
        assert one is not None
        assert repeated is not None
        assert other is not None
        assert one.session.attachment_id == repeated.session.attachment_id
        assert one.session.attachment_id == other.session.attachment_id
        assert one.replayed_outcome is None
        assert repeated.replayed_outcome is not None
        assert repeated.replayed_outcome == other.replayed_outcome
    assert [each["request_id"] for each in await world.outcomes()] == [r.request_id for r in given]
    ids = [each.attachment_id for each in new]
    events = await world.raw.fetch(
        "SELECT request_id FROM session_events WHERE attachment_id = ANY($1) ORDER BY 1", ids
    )
    assert [each["request_id"] for each in events] == [request.request_id for request in given]


async def test_of_starts_with_the_same_request_id_at_once_one_is_first(world: World) -> None:
    (same,) = requests("Start", 1)
    new = anew([PLAIN] * 5)
    found = await started(world.together, new, [same, same, None, same, None])
    ids = [each and each.session.attachment_id for each in found]
    assert ids[0] == ids[1] == ids[3]
    assert len(set(ids)) == 3
    count = await world.raw.fetchval("SELECT sum(pending_sessions)::int FROM tenant_usage")
    assert count == 1 + 3


async def test_a_request_id_of_yesterday_is_new(world: World, shared: list[str]) -> None:
    given = requests("Start", 2)
    await started(world.together, anew([PLAIN] * 2), given)
    await world.raw.execute(
        "UPDATE request_outcomes SET create_time = create_time - interval '24 hours'"
    )
    new = anew([PLAIN] * 2)
    found = await started(world.together, new, given)
    assert [each and each.session.attachment_id for each in found] == [n.attachment_id for n in new]
    assert shared == ["sessions/start"] * 2


async def test_a_start_out_of_range_is_refused_and_its_neighbours_are_not(
    world: World, shared: list[str]
) -> None:
    late = varied(PLAIN, expire_time=datetime.now(UTC) + 3 * HOUR)
    found = await started(world.together, anew([PLAIN, late, FULL]))
    assert [each is None for each in found] == [False, True, False]
    assert shared == ["sessions/start"]


@pytest.mark.parametrize("room", range(6))
async def test_concurrent_starts_use_the_quota_to_the_last_session(world: World, room: int) -> None:
    limits = Limits(max_pending_sessions=1 + room, max_pending_bytes=None, max_stored_bytes=None)
    calls = (world.together.start(new, None, limits, dry_run=False) for new in anew([PLAIN] * 5))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, SessionLookup) for each in found) == min(room, 5)
    assert sum(isinstance(each, ResourceExhausted) for each in found) == max(5 - room, 0)


async def test_room_that_another_has_taken_meanwhile_is_not_booked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that seems to have room is checked again once it is locked."""
    limits = Limits(max_pending_sessions=100, max_pending_bytes=None, max_stored_bytes=None)
    new = varied(PLAIN, tenant_id="another")
    await world.alone.start(new, None, limits, dry_run=False)
    # One shard has room for two.
    await world.raw.execute(
        "UPDATE tenant_usage SET sessions_share = pending_sessions + 2 * (shard = 3)::int"
        " WHERE tenant_id = 'another'"
    )
    real = Database.rows

    async def held_between(self: Database, statement: Query, **values: object) -> Any:
        if len(json.loads(str(values.get("sessions", "[]")))) < 2:
            return await real(self, statement, **values)
        held = statement.text.replace(
            "ORDER BY random()", "ORDER BY pg_advisory_xact_lock(1) IS NULL"
        )
        return await real(self, Query(held, statement.parameters), **values)

    monkeypatch.setattr(Database, "rows", held_between)
    async with world.raw.acquire() as holder:
        await holder.execute("SELECT pg_advisory_lock(1)")
        calls = [
            asyncio.create_task(world.together.start(each, None, limits, dry_run=False))
            for each in anew([new] * 2)
        ]
        async with asyncio.timeout(10):
            while not await world.raw.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ):
                pass
        (rival,) = anew([new])
        assert await world.alone.start(rival, None, limits, dry_run=False)
        await holder.execute("SELECT pg_advisory_unlock(1)")
    assert all(await asyncio.gather(*calls))
    overbooked = "SELECT count(*) FROM tenant_usage WHERE pending_sessions > sessions_share"
    assert await world.raw.fetchval(overbooked) == 0


def completion(checksums: Checksums, detected: str | None) -> Completion:
    sealed = SealedObject("s/k", '"e,{}')
    return Completion(
        sealed=sealed, size=7, checksums=checksums, detected_content_type=detected, checks=CHECKS
    )


async def test_a_complete_leaves_the_same_row_and_history(world: World, shared: list[str]) -> None:
    done = [
        completion(Checksums(), None),
        completion(Checksums(md5="0" * 32, sha256="1" * 64), "image/png"),
        completion(Checksums(crc32c="2" * 8), 'a,{"}'),
    ]
    kinds = [PLAIN, FULL, VARIED[2]]
    found: dict[PostgresSessions, list[Any]] = {}
    for sessions in (world.together, world.alone):
        pending = [f.session for f in await started(world.alone, anew(kinds)) if f is not None]
        calls = (
            sessions.complete(session, how, None, "completer")
            for session, how in zip(pending, done, strict=True)
        )
        ready = await asyncio.gather(*calls)
        assert all(each is not None and each.state is SessionState.READY for each in ready)
        found[sessions] = await world.rows([each.attachment_id for each in pending])
    assert shared == ["sessions/complete"]
    assert found[world.together] == found[world.alone]


async def test_completes_are_stored_under_their_request_ids(
    world: World, shared: list[str]
) -> None:
    how = completion(Checksums(md5="0" * 32), None)
    kept = {}
    for sessions, prefix in ((world.together, "a"), (world.alone, "b")):
        given: list[RequestKey | None] = [*requests("Complete", 3, prefix), None]
        pending = [f.session for f in await started(world.alone, anew([PLAIN] * 4)) if f]
        calls = (
            sessions.complete(session, how, request, "completer")
            for session, request in zip(pending, given, strict=True)
        )
        assert all(await asyncio.gather(*calls))
        wanted = (
            sessions.find(TENANT, session.attachment_id, request)
            for session, request in zip(pending, given, strict=True)
        )
        kept[prefix] = [found and found.replayed_outcome for found in await asyncio.gather(*wanted)]
        others = (
            sessions.find(TENANT, session.attachment_id, request and replace(request, method="X"))
            for session, request in zip(pending, given, strict=True)
        )
        assert [f and f.replayed_outcome for f in await asyncio.gather(*others)] == [None] * 4
    assert shared == ["sessions/complete", *["sessions/find"] * 2]
    assert kept["a"] == kept["b"]
    assert [outcome and outcome.checks for outcome in kept["a"]] == [CHECKS] * 3 + [None]
    told = [(each["payload_digest"], each["checks"]) for each in await world.outcomes()]
    assert told[:3] == told[3:]


async def test_a_complete_with_a_used_request_id_changes_nothing(world: World) -> None:
    how, (taken, free) = completion(Checksums(), None), requests("Complete", 2)
    pending = [f.session for f in await started(world.alone, anew([PLAIN] * 4)) if f]
    await world.alone.complete(pending[0], how, taken, "completer")
    given = [taken, free, free]
    calls = (
        world.together.complete(session, how, request, "completer")
        for session, request in zip(pending[1:], given, strict=True)
    )
    ready = await asyncio.gather(*calls)
    assert [each is None for each in ready] == [True, False, True]
    rows = await world.rows([session.attachment_id for session in pending])
    assert [row["state"] for row in rows] == ["ready", "pending", "ready", "pending"]


async def test_of_completes_of_one_session_at_once_one_is_first(world: World) -> None:
    (found, other) = await started(world.alone, anew([PLAIN, PLAIN]))
    assert found is not None
    assert other is not None
    how = completion(Checksums(), None)
    wanted = [found.session] * 4 + [other.session]
    calls = (world.together.complete(each, how, None, "completer") for each in wanted)
    ready = await asyncio.gather(*calls)
    assert [each is None for each in ready] == [False, True, True, True, False]
    rows = await world.rows([found.session.attachment_id, other.session.attachment_id])
    assert [len(row["events"]) for row in rows] == [2, 2]


async def test_each_history_names_its_own_actor(world: World) -> None:
    pending = [f.session for f in await started(world.alone, anew([PLAIN] * 6)) if f is not None]
    how = completion(Checksums(), None)
    calls = (
        world.together.complete(session, how, None, f"completer {n % 2}")
        for n, session in enumerate(pending)
    )
    await asyncio.gather(*calls)
    rows = await world.rows([session.attachment_id for session in pending])
    assert [row["events"][1]["actor"] for row in rows] == ["completer 0", "completer 1"] * 3


async def test_shared_and_single_reads_return_the_same(world: World, shared: list[str]) -> None:
    ids = [f.session.attachment_id for f in await started(world.alone, anew(VARIED)) if f]
    wanted = [*ids, uuid4(), ids[0]]
    together = await asyncio.gather(*(world.together.find(TENANT, each) for each in wanted))
    assert shared == ["sessions/find"]
    alone = await asyncio.gather(*(world.alone.find(TENANT, each) for each in wanted))
    moment = datetime.now(UTC)
    for mine, own in zip(together, alone, strict=True):
        assert (mine is None) == (own is None)
        if mine is not None and own is not None:
            at_once = [replace(each.session, read_time=moment) for each in (mine, own)]
            assert at_once[0] == at_once[1]


async def test_a_shared_read_returns_no_session_of_another_tenant(world: World) -> None:
    (found,) = await started(world.alone, anew([PLAIN]))
    assert found is not None
    calls = (
        world.together.find(tenant_id, found.session.attachment_id)
        for tenant_id in (TENANT, "other", TENANT, "another")
    )
    assert [each is None for each in await asyncio.gather(*calls)] == [False, True, False, True]


async def test_unknown_ids_share_one_statement(world: World, sent: list[Query]) -> None:
    request = RequestKey("Complete", "r", b"d")
    finds = [world.together.find(TENANT, uuid4(), given) for given in (None, request) * 4]
    assert await asyncio.gather(*finds) == [None] * 8
    assert sent == [query("sessions/find")]


async def test_sessions_that_cannot_become_ready_cost_one_statement_for_all_of_them(
    world: World, sent: list[Query]
) -> None:
    pending = [found.session for found in await started(world.together, anew([PLAIN] * 3)) if found]
    await world.raw.execute("DELETE FROM upload_sessions")
    sent.clear()
    completion = Completion(
        sealed=SealedObject("k", "e"),
        size=7,
        checksums=Checksums(),
        detected_content_type=None,
        checks=CHECKS,
    )
    calls = [world.together.complete(each, completion, None, "tester") for each in pending]
    assert await asyncio.gather(*calls) == [None] * 3
    assert sent == [query("sessions/complete")]


TENANTS = [f"tenant-{n}" for n in range(4)]


async def of_each_tenant(world: World) -> list[UploadSession]:
    """Starts a session of each tenant, each on its own."""
    new = [replace(varied(PLAIN, tenant_id=each), attachment_id=uuid4()) for each in TENANTS]
    return [found.session for found in await started(world.alone, new) if found]


async def test_starts_of_different_tenants_share_a_statement(
    world: World, shared: list[str], sent: list[Query]
) -> None:
    await of_each_tenant(world)  # opens their counters
    sent.clear()
    new = [replace(varied(PLAIN, tenant_id=each), attachment_id=uuid4()) for each in TENANTS * 2]
    # The same request id means another request in another tenant.
    given = [*[RequestKey("Start", "r", b"d")] * 4, *[None] * 4]
    found = await started(world.together, new, given)
    assert [each and each.session.tenant_id for each in found] == TENANTS * 2
    assert sent == [query("sessions/start")]
    assert shared == ["sessions/start"]
    booked = await world.raw.fetch(
        "SELECT tenant_id, sum(pending_sessions)::int AS n FROM tenant_usage"
        " WHERE tenant_id LIKE 'tenant-%' GROUP BY tenant_id ORDER BY tenant_id"
    )
    assert [tuple(row) for row in booked] == [(each, 3) for each in TENANTS]


async def test_completes_of_different_tenants_share_a_statement(
    world: World, sent: list[Query]
) -> None:
    pending = await of_each_tenant(world)
    sent.clear()
    done, same = completion(Checksums(), None), RequestKey("Complete", "r", b"d")
    calls = (world.together.complete(each, done, same, "completer") for each in pending)
    ready = await asyncio.gather(*calls)
    assert [each and (each.tenant_id, each.state) for each in ready] == [
        (each, SessionState.READY) for each in TENANTS
    ]
    assert sent == [query("sessions/complete")]
    stored = await world.raw.fetch(
        "SELECT sum(stored_bytes)::int AS n, sum(pending_sessions)::int AS left FROM tenant_usage"
        " WHERE tenant_id LIKE 'tenant-%' GROUP BY tenant_id"
    )
    assert [tuple(row) for row in stored] == [(7, 0)] * 4


async def test_uploads_that_end_differently_share_a_statement(
    world: World, sent: list[Query]
) -> None:
    pending = await of_each_tenant(world)
    sent.clear()
    failure = Failure("SIZE_MISMATCH", {"expectedSize": "7"})
    ended = await asyncio.gather(
        world.together.complete(pending[0], completion(Checksums(), None), None, "completer"),
        world.together.fail(pending[1], Rejection(failure, CHECKS), None, "completer"),
    )
    assert [each and each.state for each in ended] == [SessionState.READY, SessionState.FAILED]
    assert isinstance(ended[1], FailedSession)
    assert ended[1].failure == failure
    assert sent == [query("sessions/complete")]


async def test_a_session_that_has_ended_stops_no_other_of_its_statement(
    world: World, sent: list[Query]
) -> None:
    cancelled, ready, failing, claimed = await of_each_tenant(world)
    await world.alone.cancel(cancelled.tenant_id, cancelled.attachment_id, None, "tester")
    claimable = replace(completion(Checksums(), None), is_claimable=True)
    assert await world.alone.complete(claimed, claimable, None, "worker")
    good = completion(Checksums(), None)
    rejection = Rejection(Failure("SIZE_MISMATCH", {"expectedSize": "7"}), CHECKS)
    sent.clear()

    ended = await asyncio.gather(
        world.together.complete(cancelled, good, None, "completer"),
        world.together.complete(ready, good, None, "completer"),
        world.together.fail(failing, rejection, None, "completer"),
        world.together.claim(claimed, Claim(CHECKS, Checksums(), None), None, "uploader"),
    )

    assert [each and each.state for each in ended] == [
        None,
        SessionState.READY,
        SessionState.FAILED,
        SessionState.READY,
    ]
    assert sent == [query("sessions/complete")]


async def test_a_locked_session_of_one_tenant_delays_no_complete_of_another(world: World) -> None:
    pending = await of_each_tenant(world)
    done = completion(Checksums(), None)
    async with world.raw.acquire() as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(
            "SELECT FROM upload_sessions WHERE attachment_id = $1 FOR UPDATE",
            pending[0].attachment_id,
        )
        blocked, *others = [
            asyncio.create_task(world.together.complete(each, done, None, "completer"))
            for each in pending
        ]
        assert all(isinstance(each, ReadySession) for each in await asyncio.gather(*others))
        assert not blocked.done()
        await transaction.rollback()
    assert isinstance(await blocked, ReadySession)


async def test_a_locked_request_id_of_one_tenant_delays_no_start_of_another(world: World) -> None:
    await of_each_tenant(world)  # opens their counters
    new = [replace(varied(PLAIN, tenant_id=each), attachment_id=uuid4()) for each in TENANTS]
    taken = RequestKey("Start", "r", b"d")
    async with world.raw.acquire() as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(
            "INSERT INTO request_outcomes (tenant_id, method, request_id, payload_digest,"
            " attachment_id) VALUES ($1, 'Start', 'r', 'd', $2)",
            TENANTS[0],
            uuid4(),
        )
        blocked, *others = [
            asyncio.create_task(world.together.start(each, request, NO_LIMITS, dry_run=False))
            for each, request in zip(new, [taken, None, None, None], strict=True)
        ]
        assert all(isinstance(each, SessionLookup) for each in await asyncio.gather(*others))
        assert not blocked.done()
        await transaction.rollback()
    assert isinstance(await blocked, SessionLookup)


# Text that PostgreSQL cannot store, in one element of the statement.
UNSTORABLE = "a\0b"


async def test_an_invalid_start_fails_without_those_of_other_tenants(world: World) -> None:
    await of_each_tenant(world)
    new = [replace(varied(PLAIN, tenant_id=each), attachment_id=uuid4()) for each in TENANTS]
    new[1] = replace(new[1], upload_key=UNSTORABLE)
    calls = (world.together.start(each, None, NO_LIMITS, dry_run=False) for each in new)
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in found] == [
        SessionLookup,
        MalformedRequest,
        SessionLookup,
        SessionLookup,
    ]


async def test_a_tenant_without_room_is_refused_and_the_others_start(world: World) -> None:
    await of_each_tenant(world)
    full = Limits(max_pending_sessions=1, max_pending_bytes=None, max_stored_bytes=None)
    calls = (
        world.together.start(
            replace(varied(PLAIN, tenant_id=each), attachment_id=uuid4()),
            None,
            full if each == TENANTS[2] else NO_LIMITS,
            dry_run=False,
        )
        for each in TENANTS
    )
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(found.pop(2), ResourceExhausted)
    assert all(isinstance(each, SessionLookup) for each in found)


async def test_an_invalid_complete_fails_without_those_of_other_tenants(world: World) -> None:
    pending = await of_each_tenant(world)
    good, bad = completion(Checksums(), None), completion(Checksums(), UNSTORABLE)
    calls = (
        world.together.complete(each, bad if n == 1 else good, None, "completer")
        for n, each in enumerate(pending)
    )
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(ended.pop(1), MalformedRequest)
    assert all(isinstance(each, ReadySession) for each in ended)


async def test_times_and_durations_survive_to_the_microsecond(world: World) -> None:
    moment = datetime.now(UTC).replace(microsecond=123_457) + HOUR
    odd = timedelta(days=40, seconds=3, microseconds=999_999)
    new = varied(
        PLAIN,
        expire_time=moment,
        object_retention=odd,
        metadata_retention=2 * odd,
        policy=dataclasses.replace(PLAIN.command.policy, max_size=2**63 - 1),
        declaration=replace(PLAIN.command.declaration, size=2**53 + 1),
    )
    (found,) = await started(world.alone, anew([new]))
    assert found is not None
    session = found.session
    assert session.expire_time == moment
    assert session.object_purge_time - session.create_time == odd
    assert session.metadata_purge_time - session.create_time == 2 * odd
    assert (session.declaration.size, session.max_size) == (2**53 + 1, 2**63 - 1)


FILL = """
    INSERT INTO upload_sessions SELECT (jsonb_populate_record(
        s, jsonb_build_object('attachment_id', gen_random_uuid()))).*
    FROM upload_sessions AS s, generate_series(1, 200) AS n;
    INSERT INTO tenant_usage (tenant_id, shard)
    SELECT 'small-' || n, s FROM generate_series(1, 20) AS n, generate_series(0, 15) AS s;
    ANALYZE
"""


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "small"])
async def test_plans_made_on_small_tables_look_rows_up_by_index(
    world: World, *, filled: bool
) -> None:
    """A connection keeps its plans until the statistics change, while the tables may grow."""
    async with world.raw.acquire() as connection:
        for statement in FILL.split(";") * filled:
            await connection.execute(statement)
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, elements in (("sessions/start", "sessions"), ("sessions/complete", "outcomes")):
            await connection.execute(f"PREPARE planned AS {query(name).text}")
            values = {elements: "'[]'", "request_lifetime": "'1 hour'", "is_shared": "true"}
            given = ", ".join(values[parameter] for parameter in query(name).parameters)
            plan = await connection.fetch(f"EXPLAIN EXECUTE planned ({given})")
            text = "\n".join(row[0] for row in plan)
            assert "Seq Scan on upload_sessions" not in text, name
            assert "Seq Scan on tenant_usage" not in text, name
            await connection.execute("DEALLOCATE planned")
