"""Storage and database that hang, break or vanish: bounded, reported as transient, nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import (
    CancelUploadSessionRequest,
    CompleteUploadSessionRequest,
)
from attachery_service.postgres.repositories.sessions import PostgresSessions
from attachery_service.s3.objects import S3ObjectStore
from support.failures import Failure, failure
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest

BODY = b"hello\n"
PENDING = pb.UPLOAD_SESSION_STATE_PENDING
READY = pb.UPLOAD_SESSION_STATE_READY


@pytest.fixture
async def store_proxy(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(database_url) as proxy:
        yield proxy


async def behind(
    make_service: MakeService, object_store: StoreUnderTest, proxy: Proxy, seal: str = "write_once"
) -> ServiceUnderTest:
    """A service behind a proxy to object storage, which uploaders reach directly."""
    return await make_service(
        s3_endpoint=proxy.in_front_of(object_store.endpoint),
        s3_public_endpoint=object_store.endpoint,
        s3_timeout=60.0,
        seal=seal,
    )


async def uploaded(service: ServiceUnderTest, size_bytes: int | None = len(BODY)) -> str:
    started = await service.start(size_bytes=size_bytes)
    assert await service.send(started.target, BODY) < 300
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def complete_within(service: ServiceUnderTest, attachment_id: str, seconds: float) -> Failure:
    request = CompleteUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)
    return await failure(
        service.uploads.CompleteUploadSession(request, metadata=service.metadata, timeout=seconds)
    )


@pytest.mark.requirement("N12")
async def test_storage_that_hangs_fails_the_call_at_its_deadline(
    make_service: MakeService, object_store: StoreUnderTest, store_proxy: Proxy
) -> None:
    service = await behind(make_service, object_store, store_proxy)
    attachment_id = await uploaded(service)
    store_proxy.hold()
    refused = await complete_within(service, attachment_id, 0.5)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.reason == "STORAGE_UNAVAILABLE"
    assert refused.facts == {"httpStatus": "503"}
    assert (await service.get(attachment_id)).state == PENDING
    store_proxy.release()
    assert (await service.complete(attachment_id)).session.state == READY


@pytest.mark.requirement("N12")
async def test_broken_storage_is_unavailable_and_start_still_works(
    make_service: MakeService, object_store: StoreUnderTest, store_proxy: Proxy
) -> None:
    service = await behind(make_service, object_store, store_proxy)
    attachment_id = await uploaded(service)
    store_proxy.cut()
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "STORAGE_UNAVAILABLE"
    other = await uploaded(service)
    store_proxy.release()
    for each in (attachment_id, other):
        assert (await service.complete(each)).session.state == READY


@pytest.mark.requirement("N8")
async def test_storage_that_responds_after_the_deadline_is_too_late(
    make_service: MakeService, object_store: StoreUnderTest, store_proxy: Proxy
) -> None:
    service = await behind(make_service, object_store, store_proxy)
    attachment_id = await uploaded(service)
    store_proxy.hold()
    late = asyncio.ensure_future(failure(service.complete(attachment_id)))
    await asyncio.wait_for(store_proxy.held.wait(), 5)
    await service.age(attachment_id, timedelta(hours=1))
    store_proxy.release()
    assert (await late).reason == "UPLOAD_EXPIRED"
    assert await service.events(attachment_id) == ["pending"]


async def test_a_bucket_that_vanished_is_the_operators_matter(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(size_bytes=len(BODY))
    await service.s3.delete_bucket(Bucket=service.bucket)
    refused = await failure(service.complete(started.session.attachment_id))
    assert refused.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.FAILED_PRECONDITION)
    await service.s3.create_bucket(Bucket=service.bucket)
    assert (await service.get(started.session.attachment_id)).state == PENDING


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_a_call_cancelled_during_the_update_still_stores_the_outcome(
    make_service: MakeService, database_url: str, database_proxy: Proxy, seal: str
) -> None:
    service = await make_service(
        database_url=SecretStr(database_proxy.in_front_of(database_url)), seal=seal
    )
    attachment_id = await uploaded(service)
    request = CompleteUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)
    async with service.row_locked(attachment_id):
        call = service.uploads.CompleteUploadSession(request, metadata=service.metadata)
        await service.until_blocked(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await service.app.background.drain(5)
    assert (await service.get(attachment_id)).state == READY
    assert await service.events(attachment_id) == ["pending", "ready"]


async def test_a_bug_after_its_caller_has_left_is_logged(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    attachment_id = (await service.start(size_bytes=6)).session.attachment_id
    left = asyncio.Event()

    async def broken(*_: object, **__: object) -> None:
        await left.wait()
        raise KeyError("the bug")

    monkeypatch.setattr(PostgresSessions, "cancel", broken)
    request = CancelUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)
    call = service.uploads.CancelUploadSession(request, metadata=service.metadata, timeout=0.2)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    left.set()
    assert await service.app.background.drain(5)
    assert "the bug" in capfd.readouterr().err


async def test_a_call_cancelled_during_a_storage_request_leaves_the_session_pending(
    make_service: MakeService, object_store: StoreUnderTest, store_proxy: Proxy
) -> None:
    service = await behind(make_service, object_store, store_proxy)
    attachment_id = await uploaded(service)
    store_proxy.hold()
    request = CompleteUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)
    call = service.uploads.CompleteUploadSession(request, metadata=service.metadata)
    await asyncio.wait_for(store_proxy.held.wait(), 5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    # The service has noticed it, and no longer waits for object storage.
    await asyncio.wait_for(store_proxy.left.wait(), 5)
    store_proxy.release()
    assert (await service.get(attachment_id)).state == PENDING
    assert (await service.complete(attachment_id)).session.state == READY


async def test_an_answer_of_the_database_that_is_lost_converges_by_the_request_id(
    make_service: MakeService, database_url: str, database_proxy: Proxy
) -> None:
    service = await make_service(
        database_url=SecretStr(database_proxy.in_front_of(database_url)), database_pool_size=1
    )
    database_proxy.hold()
    lost = asyncio.ensure_future(failure(service.start(size_bytes=6, request_id="r-1")))
    await asyncio.wait_for(database_proxy.held.wait(), 5)
    database_proxy.cut()
    assert (await lost).reason == "DATABASE_UNAVAILABLE"
    database_proxy.release()
    answers = [await service.start(size_bytes=6, request_id="r-1") for _ in range(2)]
    assert answers[0].session == answers[1].session
    assert await service.database.fetchval("SELECT count(*) FROM upload_sessions") == 1


async def test_a_database_that_hangs_is_bounded_and_heals(
    make_service: MakeService, database_url: str, database_proxy: Proxy
) -> None:
    service = await make_service(
        database_url=SecretStr(database_proxy.in_front_of(database_url)), database_timeout=0.3
    )
    attachment_id = await uploaded(service)
    database_proxy.hold()
    assert (await failure(service.get(attachment_id))).reason == "DATABASE_UNAVAILABLE"
    database_proxy.release()
    assert (await service.complete(attachment_id)).session.state == READY


async def test_an_object_that_keeps_changing_is_reported_and_stays_pending(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await make_service(seal="copy")
    started = await service.start()
    await service.send(started.target, BODY)
    attachment_id = started.session.attachment_id
    real, replaced = S3ObjectStore.copy, 0

    async def replace_first(self: S3ObjectStore, *arguments: Any) -> None:
        nonlocal replaced
        replaced += 1
        assert await service.send(started.target, b"%06d" % replaced) < 300
        await real(self, *arguments)

    monkeypatch.setattr(S3ObjectStore, "copy", replace_first)
    refused = await failure(service.complete(attachment_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "OBJECT_CHANGING")
    assert replaced == 3
    assert (await service.get(attachment_id)).state == PENDING
    monkeypatch.undo()
    assert (await service.complete(attachment_id)).session.state == READY
