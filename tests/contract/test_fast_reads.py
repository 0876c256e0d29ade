"""What is read past the SDK is what the SDK reads; what is not plain is left to it."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS
from attachery_service.domain.errors import StorageUnavailable
from attachery_service.ports import PreconditionChanged
from attachery_service.storage.client import Storage, StorageOptions, open_storage
from attachery_service.storage.objects import S3ObjectStore
from attachery_service.storage.signing import S3TargetSigner
from contract.bad_stores import canned_store, http_answer, tired_store
from contract.uploading import BODY, form_request, put_request
from ops.certificates import Authority

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

pytestmark = pytest.mark.usefixtures("attempts_without_a_pause")

KEY = "files/a/b/c"
ETAG = "0" * 32
FOUND = StoredObject(
    key=KEY,
    size=5,
    etag=ETAG,
    etag_is_md5=True,
    content_type="",
    content_encoding="",
    attested=NO_CHECKSUMS,
)
HEADERS = f"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: {ETAG}\r\n\r\n".encode()


@asynccontextmanager
async def opened_at(endpoint: str, **more: Any) -> AsyncIterator[Storage]:
    keys = {"access_key": "AKIAFIRST", "secret_key": "SECRET"}
    async with open_storage(
        StorageOptions(bucket="bucket", endpoint=endpoint, **{**keys, **more})
    ) as storage:
        yield storage


def calls_of_the_sdk(storage: Storage) -> list[str]:
    """The operations it will have been asked for."""
    calls: list[str] = []

    def note(model: Any, **_: object) -> None:
        calls.append(model.name)

    storage.s3.meta.events.register("before-call.s3", note)
    return calls


@pytest.mark.parametrize(
    "body", [b"", b"x", BODY, b"%PDF-1.7\n" + b"p" * 100_000], ids=["empty", "one", "some", "long"]
)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ContentType": "text/x-odd; a=b", "ContentEncoding": "gzip"},
        {"ChecksumAlgorithm": "SHA256", "Metadata": {"a": "b"}},
        {"ChecksumAlgorithm": "CRC64NVME"},
    ],
    ids=["plain", "encoded", "sha256", "crc64nvme"],
)
async def test_an_object_is_the_same_past_the_sdk(
    options: StorageOptions, raw_s3: S3Client, bucket: str, body: bytes, more: dict[str, Any]
) -> None:
    await raw_s3.put_object(Bucket=bucket, Key=KEY, Body=body, **more)
    async with open_storage(replace(options, fast=True)) as storage:
        sdk = S3ObjectStore(replace(storage, pool=None))
        expected = await sdk.describe(KEY)
        assert expected is not None
        expected_bytes = await sdk.first_bytes(expected, 4096)
        asked = calls_of_the_sdk(storage)

        fast = S3ObjectStore(storage)

        assert await fast.describe(KEY) == expected
        assert await fast.first_bytes(expected, 4096) == expected_bytes == body[:4096]
        assert asked == []


async def test_a_missing_object_needs_one_look_and_one_at_the_bucket(
    options: StorageOptions,
) -> None:
    async with open_storage(replace(options, fast=True)) as storage:
        asked = calls_of_the_sdk(storage)

        assert await S3ObjectStore(storage).describe(KEY) is None

        assert asked == ["HeadBucket"]


async def test_an_object_that_changed_is_noticed(
    options: StorageOptions, raw_s3: S3Client, bucket: str
) -> None:
    await raw_s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    async with open_storage(replace(options, fast=True)) as storage:
        objects = S3ObjectStore(storage)
        found = await objects.describe(KEY)
        assert found is not None
        await raw_s3.put_object(Bucket=bucket, Key=KEY, Body=BODY + BODY)

        with pytest.raises(PreconditionChanged):
            await objects.first_bytes(found, 10)


@pytest.mark.parametrize("patience", [1, 2, 3])
async def test_a_connection_the_store_gave_up_is_replaced(patience: int) -> None:
    async with tired_store(HEADERS, patience) as store, opened_at(store.endpoint) as storage:
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)

        for _ in range(6):
            assert await objects.describe(KEY) == FOUND

        assert store.answered == 6
        assert store.connections == -(-6 // patience)
        assert asked == []


async def test_no_more_connections_than_allowed_are_made() -> None:
    async with (
        tired_store(HEADERS, 1000) as store,
        opened_at(store.endpoint, max_connections=2) as storage,
    ):
        objects = S3ObjectStore(storage)

        found = await asyncio.gather(*(objects.describe(KEY) for _ in range(50)))

        assert found == [FOUND] * 50
        assert store.connections <= 2


async def test_the_connections_end_with_the_storage() -> None:
    async with tired_store(HEADERS, 10) as store:
        async with opened_at(store.endpoint) as storage:
            await S3ObjectStore(storage).describe(KEY)
        assert storage.pool is not None
        assert storage.pool.closed


async def test_what_is_no_plain_answer_is_asked_of_the_sdk_within_its_attempts() -> None:
    async with (
        canned_store(http_answer("503 Slow Down")) as store,
        opened_at(store.endpoint) as storage,
    ):
        asked = calls_of_the_sdk(storage)

        with pytest.raises(StorageUnavailable):
            await S3ObjectStore(storage).describe(KEY)

        assert asked == ["HeadObject"]
        assert store.requests <= 1 + 3


async def test_a_silent_connection_is_given_up_in_time_for_another_attempt() -> None:
    async with (
        canned_store(None) as store,
        opened_at(store.endpoint, operation_timeout=3.0) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        describing = asyncio.create_task(S3ObjectStore(storage).describe(KEY))
        await store.asked.wait()
        store.answer = http_answer("200 OK", b"", f"ETag: {ETAG}")

        assert await describing == replace(FOUND, size=0)

        assert asked == ["HeadObject"]


async def test_no_bytes_are_unpacked_on_the_way() -> None:
    encoded = ["Content-Encoding: gzip", f"ETag: {ETAG}"]
    async with (
        canned_store(http_answer("206 Partial Content", b"12345", *encoded)) as store,
        opened_at(store.endpoint) as storage,
    ):
        assert await S3ObjectStore(storage).first_bytes(FOUND, 10) == b"12345"
        assert store.requests == 1


async def test_credentials_that_change_sign_from_then_on() -> None:
    issued = iter(["SECOND", "THIRD"])

    async def refresh() -> dict[str, str]:
        name, end = next(issued), datetime.now(UTC) + timedelta(hours=2)
        keys = {"access_key": f"AKIA{name}", "secret_key": f"SECRET{name}", "token": name}
        return {**keys, "expiry_time": end.isoformat()}

    role: Any = AioRefreshableCredentials.create_from_metadata(
        await refresh(), refresh_using=refresh, method="test"
    )
    async with (
        canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}")) as store,
        opened_at(store.endpoint) as opened,
    ):
        storage = replace(opened, credentials=role)
        client: Any = storage.s3
        client._request_signer._credentials = role
        objects, signer = S3ObjectStore(storage), S3TargetSigner(storage)
        await objects.describe(KEY)
        first = await signer.sign_upload(put_request(KEY))
        role._expiry_time = datetime.now(UTC)
        await objects.describe(KEY)
        second = await signer.sign_upload(put_request(KEY))
        form = await signer.sign_upload(form_request(KEY))

    before, after = store.heads
    assert "AKIASECOND/" in before
    assert "x-amz-security-token: second\r\n" in before.lower()
    assert "AKIATHIRD/" in after
    assert "x-amz-security-token: third\r\n" in after.lower()
    assert first.url.count("X-Amz-Security-Token=SECOND&") == 1
    assert second.url.count("X-Amz-Security-Token=THIRD&") == 1
    assert form.form_fields["x-amz-security-token"] == "THIRD"
    assert "SECRET" not in f"{store.heads}{first}{second}{form}"


async def test_a_private_authority_is_trusted_where_the_sdk_is_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority("authority")
    certificate, key = authority.issue("store").write(tmp_path, "store")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}"), tls) as store:
        async with opened_at(store.endpoint) as storage:
            with pytest.raises(StorageUnavailable):
                await S3ObjectStore(storage).describe(KEY)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        async with opened_at(store.endpoint) as storage:
            asked = calls_of_the_sdk(storage)

            assert await S3ObjectStore(storage).describe(KEY) == replace(FOUND, size=0)

            assert asked == []


@pytest.mark.parametrize("no_proxy", ["", "store.example"])
async def test_a_proxy_is_used_where_the_sdk_uses_it(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    async with canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        monkeypatch.setenv("no_proxy", no_proxy)
        key = str(uuid.uuid4())
        async with opened_at("http://store.example:9000", operation_timeout=3.0) as storage:
            asked = calls_of_the_sdk(storage)
            if no_proxy:
                with pytest.raises(StorageUnavailable):
                    await S3ObjectStore(storage).describe(key)
                assert proxy.requests == 0
            else:
                await S3ObjectStore(storage).describe(key)
                assert asked == []
                (head,) = proxy.heads
                assert head.startswith(f"HEAD http://store.example:9000/bucket/{key} HTTP/1.1")
                assert "\r\nhost: store.example:9000\r\n" in head.lower()
