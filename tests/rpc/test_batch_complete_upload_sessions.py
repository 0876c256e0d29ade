"""BatchCompleteUploadSessions: each item as if alone, or all or none; two statements for all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from attachery.v1 import resources_pb2
from attachery.v1 import upload_sessions_pb2 as pb
from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.domain.identity import Scope
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import Query
from attachery_service.postgres.repositories.batches import PostgresBatches
from attachery_service.s3.errors import translate_errors
from attachery_service.s3.objects import S3ObjectStore
from support.failures import failure
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest

BODY = b"hello\n"
UNKNOWN = "01890000-0000-7000-8000-000000000000"
READY = resources_pb2.UPLOAD_SESSION_STATE_READY
PENDING = resources_pb2.UPLOAD_SESSION_STATE_PENDING
FAILED = resources_pb2.UPLOAD_SESSION_STATE_FAILED
CANCELLED = resources_pb2.UPLOAD_SESSION_STATE_CANCELLED

Item = pb.BatchCompleteUploadSessionsRequest.Item
Result = pb.BatchCompleteUploadSessionsResult


async def complete(
    service: ServiceUnderTest, *items: str | Item, within: float | None = None, **fields: Any
) -> list[Result]:
    request = pb.BatchCompleteUploadSessionsRequest(
        tenant_id=TENANT,
        items=[Item(attachment_id=item) if isinstance(item, str) else item for item in items],
        **fields,
    )
    answer = await service.uploads.BatchCompleteUploadSessions(
        request, metadata=service.metadata, timeout=within
    )
    return list(answer.results)


async def pending(service: ServiceUnderTest, **fields: Any) -> str:
    """Returns the id of a session for BODY without an upload."""
    return (await service.start(**{"size_bytes": len(BODY), **fields})).session.attachment_id


async def uploaded(service: ServiceUnderTest, **fields: Any) -> str:
    """Returns the id of a session with its bytes uploaded."""
    started = await service.start(**{"size_bytes": len(BODY), **fields})
    assert await service.send(started.target, BODY) < 300
    return started.session.attachment_id


async def many_uploaded(service: ServiceUnderTest, count: int) -> list[str]:
    return [await uploaded(service) for _ in range(count)]


async def states(service: ServiceUnderTest, ids: Iterable[str]) -> list[int]:
    return [(await service.get(i)).state for i in ids]


def wrong(attachment_id: str) -> Item:
    """An item that does not match its session's bytes."""
    return Item(attachment_id=attachment_id, checksums=resources_pb2.Checksums(md5="0" * 32))


def reason(result: Result) -> str:
    """The reason of a result's status; empty if it is OK."""
    info = error_details_pb2.ErrorInfo()
    for detail in result.status.details:
        if detail.type_url.endswith("ErrorInfo"):
            detail.Unpack(info)
    assert result.HasField("response") == (result.status.code == 0)
    return info.reason


def reasons(results: Iterable[Result]) -> list[str]:
    return [reason(result) for result in results]


@pytest.mark.requirement("C1")
@pytest.mark.parametrize("seal", ["write_once", "copy"])
@pytest.mark.sample(1)
async def test_hundred_sessions_become_ready_in_request_order(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    ids = await many_uploaded(service, 100)
    random.shuffle(ids)
    results = await complete(service, *ids, request_id="r-1")
    assert [r.attachment_id for r in results] == ids
    assert reasons(results) == [""] * 100
    assert [r.response.attachment.attachment_id for r in results] == ids
    assert {r.response.session.state for r in results} == {READY}
    assert await service.events(ids[0]) == ["pending", "ready"]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 100
    assert {key.split("/")[-2] for key in await service.keys_in_store()} == set(ids)


@pytest.mark.requirement("C4")
async def test_each_result_equals_the_response_of_a_single_complete(
    service: ServiceUnderTest,
) -> None:
    one, other = await many_uploaded(service, 2)
    (result,) = await complete(service, one)
    alone = await service.complete(other)
    assert result.response.checks == alone.checks
    assert result.response.session == await service.get(one)
    for field in ("size_bytes", "checksums", "detected_content_type", "content_disposition"):
        assert getattr(result.response.attachment, field) == getattr(alone.attachment, field)


async def test_each_item_has_its_own_status(service: ServiceUnderTest) -> None:
    good, bad, short, cancelled, expired = await many_uploaded(service, 5)
    missing, ready = await pending(service), await service.ready()
    await service.cancel(cancelled)
    await service.age(expired, timedelta(hours=2))
    results = await complete(
        service,
        missing,
        wrong(bad),
        good,
        UNKNOWN,
        Item(attachment_id=short, size_bytes=5),
        ready,
        cancelled,
        expired,
    )
    assert reasons(results) == [
        "OBJECT_NOT_UPLOADED",
        "CHECKSUM_MISMATCH",
        "",
        "ATTACHMENT_NOT_FOUND",
        "SIZE_MISMATCH",
        "UPLOAD_ALREADY_COMPLETED",
        "UPLOAD_CANCELLED",
        "UPLOAD_EXPIRED",
    ]
    codes = {grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.FAILED_PRECONDITION.value[0], 0}
    assert {r.status.code for r in results} == codes
    after = await states(service, [missing, bad, good, short])
    assert after == [PENDING, FAILED, READY, FAILED]
    assert await service.events(bad) == ["pending", "failed"]
    assert (await service.get(bad)).failure.reason == "CHECKSUM_MISMATCH"
    assert (await failure(service.complete(bad))).facts["failureReason"] == "CHECKSUM_MISMATCH"


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_failed_items_leave_no_object(make_service: MakeService, seal: str) -> None:
    service = await make_service(seal=seal)
    ids = await many_uploaded(service, 3)
    results = await complete(service, *map(wrong, ids))
    assert reasons(results) == ["CHECKSUM_MISMATCH"] * 3
    await service.app.background.drain(5)
    assert await service.keys_in_store() == set()


async def test_a_mismatch_that_is_not_final_leaves_the_session_pending(
    make_service: MakeService, tmp_path: Path
) -> None:
    path = tmp_path / "purposes.toml"
    path.write_text("[draft]\nterminal_on_mismatch = false\n", encoding="utf-8")
    service = await make_service(purposes=path, seal="copy")
    attachment_id = await uploaded(service, purpose="draft")
    results = await complete(service, wrong(attachment_id), request_id="r-1")
    assert reasons(results) == ["CHECKSUM_MISMATCH"]
    assert await states(service, [attachment_id]) == [PENDING]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1
    assert reasons(await complete(service, attachment_id, request_id="r-1")) == [""]


async def test_no_item_and_too_many_are_refused(service: ServiceUnderTest) -> None:
    none = await failure(complete(service))
    assert (none.code, none.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ITEMS")
    many = await failure(complete(service, *[UNKNOWN] * 101))
    assert many.reason == "BATCH_TOO_LARGE"
    assert (many.facts["maxCount"], many.facts["actualCount"]) == ("100", "101")


async def test_a_duplicate_id_refuses_the_whole_call(service: ServiceUnderTest) -> None:
    one, other = await many_uploaded(service, 2)
    refused = await failure(complete(service, one, other, one))
    assert refused.reason == "DUPLICATE_ATTACHMENT_ID"
    assert refused.violations == [("items[2].attachment_id", "DUPLICATE_ATTACHMENT_ID")]
    assert await states(service, [one, other]) == [PENDING, PENDING]


async def test_all_violations_of_all_items_are_reported_at_once(
    service: ServiceUnderTest,
) -> None:
    good = await uploaded(service)
    refused = await failure(
        complete(
            service,
            good,
            "no-uuid",
            Item(attachment_id=UNKNOWN, size_bytes=-1),
            Item(attachment_id=UNKNOWN[:-1] + "1", checksums=resources_pb2.Checksums(md5="xyz")),
        )
    )
    assert refused.reason == "INVALID_ATTACHMENT_ID"
    assert refused.violations == [
        ("items[1].attachment_id", "INVALID_ATTACHMENT_ID"),
        ("items[2].size_bytes", "SIZE_OUT_OF_RANGE"),
        ("items[3].checksums.md5", "INVALID_CHECKSUM"),
    ]
    assert await states(service, [good]) == [PENDING]


async def test_an_answer_no_caller_could_receive_is_refused_before_anything_changes(
    service: ServiceUnderTest,
) -> None:
    metadata = {f"key-{n}": "v" * 512 for n in range(50)}
    ids = [await uploaded(service, metadata=metadata) for _ in range(80)]
    refused = await failure(complete(service, *ids))
    assert refused.reason == "BATCH_TOO_LARGE"
    assert int(refused.facts["responseBytes"]) > int(refused.facts["maxResponseBytes"])
    assert set(await states(service, ids)) == {PENDING}
    assert reasons(await complete(service, *ids[:60])) == [""] * 60


async def test_it_needs_the_right_to_complete(service: ServiceUnderTest) -> None:
    key = await service.new_key(scopes=set(Scope) - {Scope.UPLOADS_COMPLETE})
    service.metadata = (("authorization", f"Bearer {key}"),)
    assert (await failure(complete(service, UNKNOWN))).reason == "SCOPE_MISSING"


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_an_atomic_batch_without_a_failure_is_ready_as_a_whole(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    ids = await many_uploaded(service, 3)
    assert reasons(await complete(service, *ids, atomic=True)) == [""] * 3
    assert await states(service, ids) == [READY] * 3


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_an_atomic_batch_with_a_failure_makes_nothing_ready(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    good, bad, fine = await many_uploaded(service, 3)
    missing = await pending(service)
    results = await complete(
        service, good, wrong(bad), missing, UNKNOWN, fine, atomic=True, request_id="r-1"
    )
    expected = [
        "BATCH_ABORTED",
        "CHECKSUM_MISMATCH",
        "OBJECT_NOT_UPLOADED",
        "ATTACHMENT_NOT_FOUND",
        "BATCH_ABORTED",
    ]
    assert reasons(results) == expected
    assert results[0].status.code == grpc.StatusCode.ABORTED.value[0]
    after = await states(service, [good, bad, missing, fine])
    assert after == [PENDING, FAILED, PENDING, PENDING]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 2  # the uploads, and no copies
    again = await complete(
        service, good, wrong(bad), missing, UNKNOWN, fine, atomic=True, request_id="r-1"
    )
    assert reasons(again) == expected
    assert reasons(await complete(service, good, fine, atomic=True)) == ["", ""]


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_an_atomic_batch_that_loses_one_to_a_cancel_changes_nothing(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, seal: str
) -> None:
    service = await make_service(seal=seal)
    kept, lost, other = await many_uploaded(service, 3)
    real = PostgresBatches.complete

    async def cancel_first(self: PostgresBatches, *values: Any, **options: Any) -> Any:
        await service.cancel(lost)
        return await real(self, *values, **options)

    monkeypatch.setattr(PostgresBatches, "complete", cancel_first)
    results = await complete(service, kept, lost, other, atomic=True, request_id="r-1")
    assert reasons(results) == ["BATCH_ABORTED", "UPLOAD_CANCELLED", "BATCH_ABORTED"]
    assert await states(service, [kept, lost, other]) == [PENDING, CANCELLED, PENDING]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 2
    monkeypatch.undo()
    # The failed call has not used the request id, so it is available for the rest.
    rest = await complete(service, kept, other, atomic=True, request_id="r-1")
    assert reasons(rest) == ["", ""]


async def test_a_race_with_cancels_has_one_winner_each(service: ServiceUnderTest) -> None:
    for atomic in (False, True) * 3:
        ids = await many_uploaded(service, 4)
        results, *_ = await asyncio.gather(
            complete(service, *ids, atomic=atomic),
            *(service.cancel(i) for i in ids[::2]),
            return_exceptions=True,
        )
        assert isinstance(results, list)
        after = await states(service, ids)
        assert [state == READY for state in after] == [not reason(r) for r in results]
        if atomic:
            assert after.count(READY) in (0, 4)
        assert {len(await service.events(i)) for i in ids} <= {1, 2}


@pytest.mark.requirement("C2")
async def test_same_request_id_replays_the_outcome(service: ServiceUnderTest) -> None:
    good, bad = await many_uploaded(service, 2)
    first = await complete(service, good, wrong(bad), request_id="r-1")
    assert reasons(first) == ["", "CHECKSUM_MISMATCH"]
    again = await complete(service, good, wrong(bad), request_id="r-1")
    assert again[0] == first[0]
    assert reasons(again) == ["", "CHECKSUM_MISMATCH"]
    assert await service.events(good) == ["pending", "ready"]
    other = await complete(service, good, wrong(bad), request_id="R-1")
    assert reasons(other) == ["UPLOAD_ALREADY_COMPLETED", "UPLOAD_FAILED"]


@pytest.mark.requirement("C2")
async def test_request_id_with_another_payload_is_refused(service: ServiceUnderTest) -> None:
    one, other, third = await many_uploaded(service, 3)
    await complete(service, one, other, request_id="r-1")
    sized = Item(attachment_id=other, size_bytes=len(BODY))
    for items, atomic in (
        ((one, sized), False),
        ((one, other), True),
        ((one,), False),
        ((other, one), False),
        ((third,), False),  # no item of the previous batch
        ((UNKNOWN,), False),
    ):
        refused = await failure(complete(service, *items, atomic=atomic, request_id="r-1"))
        assert refused.reason == "REQUEST_ID_REUSED"
    assert await states(service, [third]) == [PENDING]


async def test_of_two_batches_raced_with_one_request_id_only_one_happens(
    service: ServiceUnderTest,
) -> None:
    ids = await many_uploaded(service, 8)
    answers = await asyncio.gather(
        *(complete(service, *ids[n : n + 2], request_id="r-1") for n in range(0, 8, 2)),
        return_exceptions=True,
    )
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert len(refused) == 3
    assert {error.code() for error in refused} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert sorted(await states(service, ids)) == [PENDING] * 6 + [READY] * 2


async def test_a_request_id_may_look_like_an_item_of_another_one(
    service: ServiceUnderTest,
) -> None:
    one, other = await many_uploaded(service, 2)
    assert reasons(await complete(service, one, request_id="r")) == [""]
    for request_id in (f"r/{one}", "r/", "r//"):
        results = await complete(service, one, request_id=request_id)
        assert reasons(results) == ["UPLOAD_ALREADY_COMPLETED"]
    assert reasons(await complete(service, other, request_id=f"r/{one}")) == [""]


async def test_a_batch_without_a_request_id_is_not_remembered(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service)
    assert reasons(await complete(service, attachment_id)) == [""]
    assert reasons(await complete(service, attachment_id)) == ["UPLOAD_ALREADY_COMPLETED"]


async def test_a_repeated_call_returns_finished_items_and_completes_the_rest(
    service: ServiceUnderTest,
) -> None:
    good, bad = await many_uploaded(service, 2)
    late = await service.start(size_bytes=len(BODY))
    items = (good, wrong(bad), late.session.attachment_id)
    first = await complete(service, *items, request_id="r-1")
    assert reasons(first) == ["", "CHECKSUM_MISMATCH", "OBJECT_NOT_UPLOADED"]
    await service.send(late.target, BODY)
    again = await complete(service, *items, request_id="r-1")
    assert reasons(again) == ["", "CHECKSUM_MISMATCH", ""]
    assert again[0] == first[0]
    third = await complete(service, *items, request_id="r-1")
    assert third[::2] == again[::2]
    assert await service.events(late.session.attachment_id) == ["pending", "ready"]


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("stored", [False, True], ids=["lost_before", "lost_after"])
async def test_a_lost_response_converges_by_the_request_id(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch, stored: bool, atomic: bool
) -> None:
    ids = await many_uploaded(service, 3)
    real = PostgresBatches.complete

    async def broken(self: PostgresBatches, *values: Any, **options: Any) -> Any:
        if stored:
            await real(self, *values, **options)
        raise DatabaseUnavailable

    monkeypatch.setattr(PostgresBatches, "complete", broken)
    refused = await failure(complete(service, *ids, atomic=atomic, request_id="r-1"))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
    )
    assert await states(service, ids) == [READY if stored else PENDING] * 3
    monkeypatch.undo()
    assert reasons(await complete(service, *ids, atomic=atomic, request_id="r-1")) == [""] * 3
    for attachment_id in ids:
        assert await service.events(attachment_id) == ["pending", "ready"]


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_a_call_cancelled_during_the_update_still_stores_the_outcome(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, seal: str
) -> None:
    service = await make_service(seal=seal)
    ids = await many_uploaded(service, 2)
    begun, left = asyncio.Event(), asyncio.Event()
    real = PostgresBatches.complete

    async def slow(self: PostgresBatches, *values: Any, **options: Any) -> Any:
        begun.set()
        await left.wait()
        return await real(self, *values, **options)

    monkeypatch.setattr(PostgresBatches, "complete", slow)
    call = asyncio.create_task(complete(service, *ids, request_id="r-1"))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    left.set()
    assert await service.app.background.drain(5)
    assert await states(service, ids) == [READY, READY]
    assert reasons(await complete(service, *ids, request_id="r-1")) == ["", ""]


async def test_a_call_cancelled_during_copies_leaves_none_behind(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await make_service(seal="copy")
    ids = await many_uploaded(service, 2)
    reads, read = 0, asyncio.Event()

    async def hang(*_: object) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 2:
            read.set()
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(S3ObjectStore, "first_bytes", hang)
    call = asyncio.create_task(complete(service, *ids))
    await read.wait()
    assert len(await service.keys_in_store()) == 4
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0.1)  # no event shows that the server has noticed it
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 2
    assert await states(service, ids) == [PENDING, PENDING]


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("seal", ["write_once", "copy"])
@pytest.mark.sample(1)
async def test_parallel_batches_of_the_same_sessions_make_one_transition_each(
    make_service: MakeService, seal: str, atomic: bool
) -> None:
    service = await make_service(seal=seal)
    ids = await many_uploaded(service, 4)
    answers = await asyncio.gather(
        *(complete(service, *ids, atomic=atomic, request_id="same") for _ in range(4)),
        *(complete(service, *ids, atomic=atomic, request_id=f"r-{n}") for n in range(4)),
    )
    for of_one in zip(*answers, strict=True):
        assert {reason(result) for result in of_one} <= {"", "UPLOAD_ALREADY_COMPLETED"}
    for of_one in zip(*answers[:4], strict=True):
        assert len(set(reasons(of_one))) == 1  # the same request id: the same outcome
    for attachment_id in ids:
        assert await service.events(attachment_id) == ["pending", "ready"]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 4


async def test_overlapping_batches_do_not_wait_for_each_other_in_a_circle(
    service: ServiceUnderTest,
) -> None:
    for round_number in range(20):
        atomic = round_number % 2 == 1
        ids = await many_uploaded(service, 6)
        answers = await asyncio.gather(
            complete(service, *ids, atomic=atomic),
            complete(service, *ids[::-1], atomic=atomic),
            complete(service, *ids[3:], *ids[:3]),
            complete(service, *ids[:4], atomic=atomic),
        )
        told = {reason(result) for results in answers for result in results}
        assert told <= {"", "UPLOAD_ALREADY_COMPLETED", "BATCH_ABORTED"}
        assert await states(service, ids) == [READY] * 6
        ready = [r.attachment_id for results in answers for r in results if not reason(r)]
        assert sorted(ready) == sorted(ids)


async def test_a_hundred_items_are_one_read_and_one_change(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []

    def counted(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(self: Database, statement: Query, **values: object) -> Any:
            statements.append(statement.text)
            return await real(self, statement, **values)

        return run

    ids = await many_uploaded(service, 100)
    monkeypatch.setattr(Database, "row", counted(Database.row))
    monkeypatch.setattr(Database, "rows", counted(Database.rows))
    good, bad = ids[:90], [wrong(i) for i in ids[90:]]
    results = await complete(service, *good, *bad, request_id="r-1")
    assert reasons(results) == [""] * 90 + ["CHECKSUM_MISMATCH"] * 10
    of_sessions = [s for s in statements if "upload_sessions" in s]
    assert len(of_sessions) == 2
    statements.clear()
    await complete(service, *good, *bad, request_id="r-1")
    assert len([s for s in statements if "upload_sessions" in s]) == 1


async def test_no_more_than_eight_items_ask_the_store_at_a_time(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await many_uploaded(service, 20)
    real, now, most = S3ObjectStore.head, 0, 0

    async def counted(self: S3ObjectStore, key: str) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return await real(self, key)
        finally:
            now -= 1

    monkeypatch.setattr(S3ObjectStore, "head", counted)
    assert reasons(await complete(service, *ids)) == [""] * 20
    assert 1 < most <= 8


async def test_an_item_that_is_slow_ends_alone_and_its_cause_is_logged(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = await many_uploaded(service, 10)
    slow, real = ids[0], S3ObjectStore.head

    async def head(self: S3ObjectStore, key: str) -> Any:
        if slow in key:
            with translate_errors(60):
                await asyncio.sleep(60)
        return await real(self, key)

    monkeypatch.setattr(S3ObjectStore, "head", head)
    began = monotonic()
    results = await complete(service, *ids, request_id="r-1", within=4)
    assert monotonic() - began < 4
    assert reasons(results) == ["STORAGE_UNAVAILABLE"] + [""] * 9
    assert results[0].status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    (fault,) = [line for line in capfd.readouterr().err.splitlines() if '"fault"' in line]
    assert slow in fault
    assert "TimeoutError" in fault
    monkeypatch.undo()
    assert reasons(await complete(service, *ids, request_id="r-1")) == [""] * 10


@pytest.fixture
async def store_proxy(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


async def test_silent_storage_fails_every_item_within_the_deadline(
    make_service: MakeService, object_store: StoreUnderTest, store_proxy: Proxy
) -> None:
    service = await make_service(
        s3_endpoint=store_proxy.in_front_of(object_store.endpoint),
        s3_public_endpoint=object_store.endpoint,
        s3_timeout=60.0,
    )
    ids = await many_uploaded(service, 20)
    store_proxy.hold()
    results = await complete(service, *ids, request_id="r-1", within=2)
    assert reasons(results) == ["STORAGE_UNAVAILABLE"] * 20
    assert set(await states(service, ids)) == {PENDING}
    store_proxy.release()
    assert reasons(await complete(service, *ids, request_id="r-1")) == [""] * 20


async def test_silent_storage_costs_one_round_of_concurrent_items(
    make_service: MakeService,
    object_store: StoreUnderTest,
    store_proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The batch takes one storage timeout, or two if the first ones do not end together."""
    service = await make_service(
        s3_endpoint=store_proxy.in_front_of(object_store.endpoint),
        s3_public_endpoint=object_store.endpoint,
        s3_timeout=1.0,
    )
    ids = await many_uploaded(service, 20)
    real, described = S3ObjectStore.head, set[str]()

    async def counted(self: S3ObjectStore, key: str) -> Any:
        described.add(key)
        return await real(self, key)

    monkeypatch.setattr(S3ObjectStore, "head", counted)
    store_proxy.hold()
    results = await complete(service, *ids, request_id="r-1")
    assert reasons(results) == ["STORAGE_UNAVAILABLE"] * 20
    assert 8 <= len(described) < 16
    store_proxy.release()
    assert reasons(await complete(service, *ids, request_id="r-1")) == [""] * 20
