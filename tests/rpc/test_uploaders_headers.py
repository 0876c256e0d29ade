"""Headers that an uploader adds: READY, or FAILED with their names; never an outage.

Object storage accepts those that AWS permits unsigned; lax servers accept all of them.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from attachery.v1 import resources_pb2 as pb
from attachery_client import AttacheryClient
from support.bad_stores import Exchange, lying_store
from support.failures import failure
from support.raw_http import raw_request
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest

BODY = b"hello\n"
SHA256 = hashlib.sha256(BODY).hexdigest()
CRC32C = "353dd8be"
KEY = b"k" * 32
NAME = 'attachment; filename="Übersicht.pdf"'

Headers = list[tuple[bytes, bytes]]


def customer_key() -> Headers:
    prefix = b"x-amz-server-side-encryption-customer-"
    digest = hashlib.md5(KEY, usedforsecurity=False).digest()
    return [
        (prefix + b"algorithm", b"AES256"),
        (prefix + b"key", base64.b64encode(KEY)),
        (prefix + b"key-MD5", base64.b64encode(digest)),
    ]


ARE_NO_MATTER: dict[str, Headers] = {
    "a filename in UTF-8": [(b"Content-Disposition", NAME.encode())],
    "a filename in Latin-1": [(b"Content-Disposition", NAME.encode("latin-1"))],
    "every byte above ASCII": [(b"Content-Disposition", bytes(range(0x80, 0x100)))],
    "an odd Cache-Control": [(b"Cache-Control", b"max-age=\xfc")],
    "an odd language": [(b"Content-Language", b"\xfc\xff")],
    "a date that is none": [(b"Expires", b"never")],
    "a date of odd bytes": [(b"Expires", b"jam\xe9s")],
    "metadata in UTF-8": [(b"x-amz-meta-a", NAME.encode())],
    "metadata in Latin-1": [(b"x-amz-meta-a", b"\xfc")],
    "metadata without a name": [(b"x-amz-meta-", b"a")],
    "metadata twice": [(b"x-amz-meta-a", b"1"), (b"X-Amz-Meta-A", b"2")],
    "metadata named like headers": [
        (b"x-amz-meta-etag", b"1"),
        (b"x-amz-meta-content-length", b"1"),
    ],
    "metadata with a control character": [(b"x-amz-meta-a", b"a\x01b")],
    "150 metadata": [(f"x-amz-meta-{n}".encode(), b"1") for n in range(150)],
    "20 KB of metadata": [(b"x-amz-meta-a", b"x" * 20_000)],
    "60 KB of metadata": [(f"x-amz-meta-{n}".encode(), b"x" * 6_000) for n in range(10)],
    "a long filename": [(b"Content-Disposition", b"x" * 16_000)],
    "tags": [(b"x-amz-tagging", b"a=b")],
    "tags that are none": [(b"x-amz-tagging", b"%%&=\xfc")],
    "a cheap storage class": [(b"x-amz-storage-class", b"STANDARD_IA")],
    "an instant archive": [(b"x-amz-storage-class", b"GLACIER_IR")],
    "no coding": [(b"Content-Encoding", b"identity")],
    "an empty coding": [(b"Content-Encoding", b"")],
    "a redirection": [(b"x-amz-website-redirect-location", b"/\xfc")],
    "encryption": [(b"x-amz-server-side-encryption", b"AES256")],
    "encryption with a key of the store's": [
        (b"x-amz-server-side-encryption", b"aws:kms"),
        (b"x-amz-server-side-encryption-aws-kms-key-id", b"key"),
    ],
    "an ACL": [(b"x-amz-acl", b"public-read")],
    "a legal hold": [(b"x-amz-object-lock-legal-hold", b"ON")],
    "a copy of something else": [(b"x-amz-copy-source", b"/other/key")],
}
ARE_REFUSED: dict[str, tuple[Headers, str, str]] = {
    "an archive": (
        [(b"x-amz-storage-class", b"GLACIER")],
        "OBJECT_UNREADABLE",
        "x-amz-storage-class",
    ),
    "a deep archive": (
        [(b"x-amz-storage-class", b"DEEP_ARCHIVE")],
        "OBJECT_UNREADABLE",
        "x-amz-storage-class",
    ),
    "a key of the uploader's": (
        customer_key(),
        "OBJECT_UNREADABLE",
        "x-amz-server-side-encryption-customer-algorithm",
    ),
    "gzip": ([(b"Content-Encoding", b"gzip")], "CONTENT_TYPE_MISMATCH", "Content-Encoding gzip"),
    "an odd coding": (
        [(b"Content-Encoding", b"\xfc")],
        "CONTENT_TYPE_MISMATCH",
        "Content-Encoding ?",
    ),
}
# The two ways to read an object, and the two ways to seal one.
WAYS = pytest.mark.parametrize(
    ("fast", "seal"), [(True, "write_once"), (False, "copy")], ids=["fast", "sdk"]
)


async def uploaded(service: ServiceUnderTest, headers: Headers, **fields: Any) -> str | None:
    """Returns the id of a session with these added headers; None if object storage refused them."""
    # Of two checksums the URL signs one: the service computes the other one from the bytes.
    started = await service.start(
        size_bytes=len(BODY), checksums={"sha256": SHA256, "crc32c": CRC32C}, **fields
    )
    signed = [
        (name.encode(), value.encode())
        for name, value in started.target.headers.items()
        if name.lower() != "content-length"
    ]
    status, answer = await raw_request("PUT", started.target.url, [*signed, *headers], BODY)
    assert status in (200, 400, 403, 404), answer
    attachment_id: str = started.session.attachment_id
    return attachment_id if status == 200 else None


@WAYS
async def test_headers_without_effect_on_the_bytes_are_ignored(
    make_service: MakeService, fast: bool, seal: str
) -> None:
    service = await make_service(s3_fast=fast, seal=seal)
    taken = set()
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        for name, headers in ARE_NO_MATTER.items():
            attachment_id = await uploaded(service, headers)
            if attachment_id is None:
                continue
            completed = await service.complete(attachment_id)
            assert completed.session.state == pb.UPLOAD_SESSION_STATE_READY, name
            assert await client.download(attachment_id, tenant_id=TENANT) == BODY, name
            taken.add(name)
    # AWS and similar servers refuse the others, which would have to be signed.
    assert taken >= {
        "a filename in UTF-8",
        "a filename in Latin-1",
        "a date of odd bytes",
        "no coding",
    }


@WAYS
async def test_headers_that_keep_the_bytes_from_being_read_end_the_session_by_name(
    make_service: MakeService, fast: bool, seal: str
) -> None:
    service = await make_service(s3_fast=fast, seal=seal)
    for name, (headers, reason, named) in ARE_REFUSED.items():
        attachment_id = await uploaded(service, headers)
        if attachment_id is not None:
            refused = await failure(service.complete(attachment_id))
            assert refused.reason == reason, name
            assert named in " ".join(refused.facts.values()), name
            session = await service.get(attachment_id)
            assert session.state == pb.UPLOAD_SESSION_STATE_FAILED, name
            assert session.failure.reason == reason
    await service.app.background.drain(5)
    assert await service.keys_in_store() == set()


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_an_archive_detected_by_a_read_fails_the_session_with_its_header(
    make_service: MakeService, object_store: StoreUnderTest, seal: str
) -> None:
    """Not every server's HEAD names the storage class."""

    def hide_the_class(exchange: Exchange) -> Exchange:
        shown = {
            name: value
            for name, value in exchange.answer_headers.items()
            if name.lower() != "x-amz-storage-class"
        }
        hidden = exchange.with_headers(shown)
        is_read = exchange.method == "GET" and "list-type" not in exchange.query
        # Includes copies: the test server copies archived objects.
        if is_read or "x-amz-copy-source" in exchange.headers:
            return hidden.refusing(403, "InvalidObjectState")
        return hidden

    async with lying_store(object_store.endpoint, hide_the_class) as endpoint:
        service = await make_service(
            s3_endpoint=endpoint, s3_public_endpoint=object_store.endpoint, seal=seal
        )
        attachment_id = await uploaded(service, [])
        assert attachment_id is not None

        refused = await failure(service.complete(attachment_id))

        assert refused.reason == "OBJECT_UNREADABLE"
        assert refused.facts["uploadHeader"] == "x-amz-storage-class"
        assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_FAILED


async def test_an_object_that_cannot_be_read_fails_a_batch_item_and_not_the_batch(
    service: ServiceUnderTest,
) -> None:
    good, bad = await uploaded(service, []), await uploaded(service, customer_key())
    if bad is None:
        pytest.skip("the store lets nobody add this header")

    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        answer = await client.batch_complete_upload_sessions(
            tenant_id=TENANT, items=[str(good), str(bad)]
        )

    assert [result.status.code for result in answer.results] == [0, 9]
    assert "OBJECT_UNREADABLE" in str(answer.results[1].status)
