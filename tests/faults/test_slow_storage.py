"""The effect of slow object storage on sessions and on other calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from attachery.v1 import resources_pb2 as pb
from rpc.test_batch_complete_upload_sessions import UNKNOWN, Item, complete, reasons, wrong
from support.bad_stores import delayed_store
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest
from support.sweep_fixtures import opened_sweeper

BODY = b"hello\n"
SHA256 = pb.Checksums(sha256=hashlib.sha256(BODY).hexdigest())
PENDING = pb.UPLOAD_SESSION_STATE_PENDING
FAILED = pb.UPLOAD_SESSION_STATE_FAILED


def reads_everything(request: web.BaseRequest) -> bool:
    whole = request.headers.get("Range") in {None, "bytes=0-"}
    return request.method == "GET" and whole and request.path.count("/") > 2


@dataclass
class Gate:
    """Holds requests of this method for this object, or reads of all of it, until opened."""

    method: str
    key_part: str = ""
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    may_pass: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, request: web.BaseRequest) -> None:
        if not self.key_part or self.key_part not in request.path:
            return
        if request.method == self.method and (self.method == "HEAD" or reads_everything(request)):
            self.held.release()
            await self.may_pass.acquire()

    async def until_held(self) -> None:
        async with asyncio.timeout(10):
            await self.held.acquire()

    def open(self, requests: int = 1) -> None:
        for _ in range(requests):
            self.may_pass.release()


@asynccontextmanager
async def service_behind(
    gate: Gate, make_service: MakeService, store: StoreUnderTest, **settings: Any
) -> AsyncIterator[ServiceUnderTest]:
    """A service whose storage requests pass the gate, while uploaders reach storage directly."""
    async with delayed_store(store.endpoint, gate) as endpoint:
        try:
            yield await make_service(
                s3_endpoint=endpoint, s3_public_endpoint=store.endpoint, **settings
            )
        finally:
            gate.open(100)


async def uploaded(service: ServiceUnderTest, **fields: Any) -> str:
    started = await service.start(**{"size_bytes": len(BODY), **fields})
    assert await service.send(started.target, BODY) < 300
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def auto_complete(
    service: ServiceUnderTest, store: StoreUnderTest, attachment_id: str
) -> None:
    """Completes the session in the service's own name, by a worker that the gate does not delay."""
    direct = service.settings.model_copy(update={"s3_endpoint": store.endpoint})
    async with opened_sweeper(direct) as sweeper:
        assert await sweeper.sweep.auto_complete(TENANT, UUID(attachment_id))


async def failing_item(service: ServiceUnderTest, kind: str) -> str | Item:
    if kind == "ATTACHMENT_NOT_FOUND":
        return UNKNOWN
    if kind == "OBJECT_NOT_UPLOADED":
        return (await service.start(size_bytes=len(BODY))).session.attachment_id
    attachment_id = await uploaded(service)
    if kind == "UPLOAD_CANCELLED":
        await service.cancel(attachment_id)
    elif kind == "UPLOAD_ALREADY_COMPLETED":
        await service.complete(attachment_id)
    else:
        return wrong(attachment_id)
    return attachment_id


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "kind",
    [
        "ATTACHMENT_NOT_FOUND",
        "UPLOAD_CANCELLED",
        "UPLOAD_ALREADY_COMPLETED",
        "OBJECT_NOT_UPLOADED",
        "CHECKSUM_MISMATCH",
    ],
)
async def test_an_atomic_batch_with_a_failed_item_completes_nothing_when_the_service_is_faster(
    make_service: MakeService, object_store: StoreUnderTest, kind: str
) -> None:
    gate = Gate("HEAD")
    async with service_behind(gate, make_service, object_store, seal="copy") as service:
        failing = await failing_item(service, kind)
        overtaken, good = await uploaded(service, auto_complete=True), await uploaded(service)
        gate.key_part = overtaken
        call = asyncio.create_task(
            complete(service, failing, overtaken, good, atomic=True, request_id="r-1")
        )
        await gate.until_held()
        await auto_complete(service, object_store, overtaken)
        gate.open()
        assert reasons(await call) == [kind, "BATCH_ABORTED", "BATCH_ABORTED"]
        assert (await service.get(good)).state == PENDING
        assert await service.events(overtaken) == ["pending", "ready"]


@pytest.mark.parametrize("batched", [False, True], ids=["single", "batch"])
@pytest.mark.exhaustive
async def test_reading_an_object_again_takes_none_of_the_database_budget(
    make_service: MakeService, object_store: StoreUnderTest, batched: bool
) -> None:
    gate, timeout = Gate("GET"), 1.0
    async with service_behind(
        gate, make_service, object_store, database_timeout=timeout
    ) as service:
        attachment_id = await uploaded(service, auto_complete=True)
        gate.key_part = attachment_id
        coroutine: Coroutine[Any, Any, Any] = (
            complete(service, Item(attachment_id=attachment_id, checksums=SHA256))
            if batched
            else service.complete(attachment_id, checksums=SHA256)
        )
        call = asyncio.create_task(coroutine)
        await gate.until_held()
        await auto_complete(service, object_store, attachment_id)
        await service.database.execute("UPDATE upload_sessions SET verified_checksums = '{}'")
        gate.open()
        await gate.until_held()
        done, _ = await asyncio.wait({call}, timeout=1.5 * timeout)
        assert not done
        gate.open()
        answer = await call
        if batched:
            assert reasons(answer) == [""]
        assert await service.events(attachment_id) == ["pending", "ready", "ready"]


@pytest.mark.exhaustive
async def test_wrong_bytes_are_reported_though_two_reads_take_longer_than_one_may(
    make_service: MakeService, object_store: StoreUnderTest
) -> None:
    timeout = 2.0

    async def slowly(request: web.BaseRequest) -> None:
        if reads_everything(request):
            await asyncio.sleep(0.6 * timeout)

    async with delayed_store(object_store.endpoint, slowly) as endpoint:
        service = await make_service(
            s3_endpoint=endpoint,
            s3_public_endpoint=object_store.endpoint,
            s3_transfer_timeout=timeout,
        )
        attachment_id = await uploaded(service)
        demanded = pb.Checksums(sha256="0" * 64)
        refused = await failure(service.complete(attachment_id, checksums=demanded))
        assert refused.reason == "CHECKSUM_MISMATCH"
        assert (await service.get(attachment_id)).state == FAILED
