"""A single wrong response of object storage never destroys an upload."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from attachery.v1 import resources_pb2 as pb
from attachery_client import AttacheryClient
from attachery_service.domain.checks import StoredObject
from attachery_service.s3.second_read import S3SecondLook
from support.bad_stores import Exchange, lying_store, scripted_store
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest

BODY = b"hello\n"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + b"\x00" * 17
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
CRC32C = "353dd8be"
PENDING = pb.UPLOAD_SESSION_STATE_PENDING
READY = pb.UPLOAD_SESSION_STATE_READY
FAILED = pb.UPLOAD_SESSION_STATE_FAILED

Lie = Callable[[Exchange], Exchange]


def answered(name: str, value: str, *methods: str) -> Lie:
    """Forges object responses to these methods: they carry this header."""

    def lie(exchange: Exchange) -> Exchange:
        if exchange.method not in (methods or ("HEAD",)) or exchange.path.count("/") < 3:
            return exchange
        kept = {n: v for n, v in exchange.answer_headers.items() if n.lower() != name.lower()}
        return exchange.with_headers({**kept, name: value})

    return lie


def other_bytes(exchange: Exchange) -> Exchange:
    """Forges the bytes of an object, in the same number."""
    if exchange.method != "GET" or exchange.path.count("/") < 3:
        return exchange
    return replace(
        exchange, body=b"%PDF-1.7 "[: len(exchange.body)].ljust(len(exchange.body), b"x")
    )


@dataclass
class LyingStore:
    """Forges a number of the matching responses."""

    lie: Lie
    lies: int
    told: list[str] = field(default_factory=list)

    def __call__(self, exchange: Exchange) -> Exchange:
        other = self.lie(exchange) if exchange.status < 300 else exchange
        if other == exchange or len(self.told) == self.lies:
            return exchange
        self.told.append(exchange.method)
        return other


@asynccontextmanager
async def service_at(
    make_service: MakeService, store: StoreUnderTest, lie: LyingStore, **settings: Any
) -> AsyncIterator[ServiceUnderTest]:
    """A service with forged responses of object storage, while uploaders reach it directly."""
    async with lying_store(store.endpoint, lie) as endpoint:
        yield await make_service(
            s3_endpoint=endpoint,
            s3_public_endpoint=store.endpoint,
            metrics_listen="127.0.0.1:0",
            **settings,
        )


async def uploaded(service: ServiceUnderTest, body: bytes = BODY, **fields: Any) -> str:
    started = await service.start(**{"size_bytes": len(body), **fields})
    assert await service.send(started.target, body) < 300
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def disagreements(service: ServiceUnderTest) -> float:
    async with service.http.get(f"http://{service.app.metrics_listen}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = "attachery_storage_disagreements_total{"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def refused_as_unavailable(service: ServiceUnderTest, attachment_id: str) -> Failure:
    """Returns the failure of a Complete that must have changed nothing."""
    refused = await failure(service.complete(attachment_id))
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.reason == "STORAGE_UNAVAILABLE"
    assert (await service.get(attachment_id)).state == PENDING
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1
    return refused


LIES: dict[str, tuple[Lie, dict[str, Any]]] = {
    "another size": (answered("Content-Length", "5"), {}),
    "no size": (answered("Content-Length", "0"), {"size_bytes": None}),
    "a large size": (answered("Content-Length", "99999999999"), {"size_bytes": None}),
    "another type": (answered("Content-Type", "text/html"), {}),
    "a coding": (answered("Content-Encoding", "br"), {}),
    "an archive": (answered("x-amz-storage-class", "GLACIER"), {}),
    "another checksum": (
        answered("x-amz-checksum-sha256", "A" * 43 + "="),
        {"checksums": {"sha256": SHA256}},
    ),
}


@pytest.mark.sample(2)
@pytest.mark.parametrize(("lie", "declared"), LIES.values(), ids=LIES)
async def test_a_wrong_head_changes_nothing(
    make_service: MakeService, object_store: StoreUnderTest, lie: Lie, declared: dict[str, Any]
) -> None:
    liar = LyingStore(lie, lies=-1)
    async with service_at(make_service, object_store, liar) as service:
        attachment_id = await uploaded(service, **declared)

        for count in (1, 2):
            await refused_as_unavailable(service, attachment_id)
            assert await disagreements(service) == count

        liar.lies = len(liar.told)
        assert (await service.complete(attachment_id)).session.state == READY


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_wrong_bytes_once_change_nothing(
    make_service: MakeService, object_store: StoreUnderTest, seal: str
) -> None:
    """Neither the hashed bytes nor the bytes for the detection of the type."""
    hashed, sniffed = {"checksums": {"sha256": SHA256, "crc32c": CRC32C}}, {"body": PNG}
    for declared in (hashed, {**sniffed, "content_type": "image/png"}):
        liar = LyingStore(other_bytes, lies=1)
        async with service_at(
            make_service, object_store, liar, seal=seal, sniffing="enforce"
        ) as service:
            attachment_id = await uploaded(service, **declared)

            refused = await failure(service.complete(attachment_id))

            assert refused.reason == "STORAGE_UNAVAILABLE"
            assert liar.told == ["GET"]
            assert (await service.get(attachment_id)).state == PENDING
            assert await disagreements(service) == 1
            assert (await service.complete(attachment_id)).session.state == READY


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_a_mismatch_in_both_reads_fails_the_session(
    make_service: MakeService, object_store: StoreUnderTest, seal: str
) -> None:
    liar = LyingStore(lambda exchange: exchange, lies=0)
    async with service_at(
        make_service, object_store, liar, seal=seal, sniffing="enforce"
    ) as service:
        wrong: dict[str, dict[str, Any]] = {
            "SIZE_MISMATCH": {"size_bytes": 5},
            "CHECKSUM_MISMATCH": {"checksums": {"md5": "0" * 32, "crc32c": "0" * 8}},
        }
        for reason, demanded in wrong.items():
            attachment_id = await uploaded(service, size_bytes=None)
            assert (await failure(service.complete(attachment_id, **demanded))).reason == reason
            assert (await service.get(attachment_id)).state == FAILED
        attachment_id = await uploaded(service, PNG, content_type="application/pdf")
        assert (await failure(service.complete(attachment_id))).reason == "CONTENT_TYPE_MISMATCH"
        assert (await service.get(attachment_id)).state == FAILED
        await service.app.background.drain(5)
        assert await service.keys_in_store() == set()
        assert await disagreements(service) == 0


async def test_a_wrong_etag_changes_nothing(
    make_service: MakeService, object_store: StoreUnderTest
) -> None:
    """Reads name the ETag, so for object storage it is another object."""
    liar = LyingStore(answered("ETag", f'"{"0" * 32}"'), lies=-1)
    async with service_at(make_service, object_store, liar) as service:
        attachment_id = await uploaded(service, checksums={"md5": MD5})
        assert (await failure(service.complete(attachment_id))).reason == "OBJECT_CHANGING"
        assert (await service.get(attachment_id)).state == PENDING
        liar.lies = len(liar.told)
        assert (await service.complete(attachment_id)).session.state == READY


def store_whose_etags_are_no_md5(head: str) -> bytes:
    """Object storage with BODY under every key."""
    first = "range: bytes=0-0\r\n" in head.lower()
    lines = [
        "HTTP/1.1 206 Partial Content" if first else "HTTP/1.1 200 OK",
        f"ETag: {'0' * 32}",
        "Content-Type: text/plain",
        f"Content-Length: {1 if first else len(BODY)}",
        *([f"Content-Range: bytes 0-0/{len(BODY)}"] if first else []),
    ]
    body = b"" if head.startswith("HEAD") else BODY[:1] if first else BODY
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("md5", "reason", "state"),
    [(MD5, "STORAGE_UNAVAILABLE", PENDING), ("1" * 32, "CHECKSUM_MISMATCH", FAILED)],
    ids=["right", "wrong"],
)
async def test_an_md5_is_judged_by_the_bytes_where_etags_are_none(
    make_service: MakeService, md5: str, reason: str, state: int
) -> None:
    async with scripted_store(store_whose_etags_are_no_md5) as store:
        service = await make_service(s3_endpoint=store.endpoint)
        started = await service.start(size_bytes=len(BODY), checksums={"md5": md5})
        attachment_id = started.session.attachment_id
        assert (await failure(service.complete(attachment_id))).reason == reason
        assert (await service.get(attachment_id)).state == state


async def test_a_failed_second_read_changes_nothing(
    make_service: MakeService, object_store: StoreUnderTest
) -> None:
    def lie(exchange: Exchange) -> Exchange:
        if exchange.method == "GET" and exchange.path.count("/") >= 3:
            return exchange.refusing(503, "SlowDown")
        return answered("Content-Length", "5")(exchange)

    async with service_at(make_service, object_store, LyingStore(lie, lies=-1)) as service:
        await refused_as_unavailable(service, await uploaded(service))


async def test_a_wrong_head_spoils_its_item_of_a_batch_only(
    make_service: MakeService, object_store: StoreUnderTest
) -> None:
    liar = LyingStore(answered("Content-Length", "5"), lies=1)
    async with service_at(make_service, object_store, liar) as service:
        both = [await uploaded(service), await uploaded(service)]
        async with AttacheryClient(service.target, api_key=service.api_key) as client:
            answer = await client.batch_complete_upload_sessions(tenant_id=TENANT, items=both)
            codes = sorted(result.status.code for result in answer.results)
            assert codes == [0, grpc.StatusCode.UNAVAILABLE.value[0]]
            states = {(await service.get(each)).state for each in both}
            assert states == {PENDING, READY}


async def test_an_object_replaced_between_the_looks_is_verified_anew(
    make_service: MakeService,
    object_store: StoreUnderTest,
    raw_s3: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    look_again = S3SecondLook.head

    async def head(self: S3SecondLook, key: str) -> StoredObject | None:
        await raw_s3.put_object(Bucket=service.bucket, Key=key, Body=BODY, ContentType="text/plain")
        return await look_again(self, key)

    monkeypatch.setattr(S3SecondLook, "head", head)
    service = await make_service(seal="copy")
    attachment_id = await uploaded(service, BODY + b"!", size_bytes=None)
    completed = await service.complete(attachment_id, size_bytes=len(BODY))
    assert completed.session.state == READY
