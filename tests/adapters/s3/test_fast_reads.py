"""Reads without the SDK equal those of the SDK; unusual responses are left to the SDK."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from cryptography.x509 import DNSName
from msgspec import structs

from attachery_service.domain.errors import StorageUnavailable
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.s3.client import StorageOptions, open_storage
from attachery_service.s3.http.fast_reads import FastReads, choose_reads
from attachery_service.s3.http.headers import READ_HEADERS
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.reads import SdkReads
from attachery_service.s3.signing.urls import S3TargetSigner
from support.bad_stores import canned_store, http_answer, scripted_store, tired_store
from support.certificates import Authority
from support.processes import eventually
from support.unbound_storage import ETAG, FOUND, HEADERS, KEY, calls_of_the_sdk, opened_at
from support.uploading import BODY, form_request, put_request

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

pytestmark = pytest.mark.usefixtures("attempts_without_a_pause")

# Long enough for a busy machine: a slow response must not look like a wrong one.
PATIENT = 60.0


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def read_of(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Returns the headers that describe the object."""
    assert headers is not None
    kept = READ_HEADERS - {"connection"}
    return {name: value for name, value in headers.items() if name in kept}


@pytest.mark.sample(4)
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
    async with open_storage(replace(options, fast=True, operation_timeout=PATIENT)) as storage:
        sdk = S3ObjectStore(replace(storage, clients=None))
        expected = await sdk.head(KEY)
        assert expected is not None
        expected_bytes = await sdk.first_bytes(expected, 4096)
        asked = calls_of_the_sdk(storage)

        fast = S3ObjectStore(storage)

        assert await fast.head(KEY) == expected
        assert await fast.first_bytes(expected, 4096) == expected_bytes == body[:4096]
        assert asked == []


@pytest.mark.sample(7)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ContentType": "text/x-odd;  a=b", "ContentEncoding": "gzip"},
        {"ContentDisposition": 'attachment; filename="a: b"', "CacheControl": "no-store"},
        {"ChecksumAlgorithm": "SHA256"},
        {"ChecksumAlgorithm": "CRC32C", "ContentLanguage": "de"},
        {"ChecksumAlgorithm": "CRC64NVME", "Metadata": {"a": "b", "long": "x" * 1_800}},
        {"Metadata": {"empty": "", "colon": "a:b: c", "encoded": "=?UTF-8?B?w6TDtsO8?="}},
    ],
    ids=["plain", "type", "others", "sha256", "crc32c", "crc64nvme", "metadata"],
)
@pytest.mark.parametrize(
    "key", ["plain", "ä ö/日本/+%2F?#&=~", "a//b/./../c"], ids=["plain", "unicode", "slashes"]
)
async def test_the_headers_are_those_the_sdk_reads(
    options: StorageOptions, raw_s3: S3Client, bucket: str, key: str, more: dict[str, Any]
) -> None:
    await raw_s3.put_object(Bucket=bucket, Key=key, Body=BODY, **more)
    async with open_storage(replace(options, fast=True, operation_timeout=PATIENT)) as storage:
        sdk = SdkReads(storage.s3, bucket)
        reads = await choose_reads(storage, sdk)
        assert isinstance(reads, FastReads)
        expected, asked = read_of(await sdk.head(key)), calls_of_the_sdk(storage)

        assert read_of(await reads.head(key)) == expected

        assert "etag" in expected
        assert asked == []


async def test_a_missing_object_needs_one_look_and_one_at_the_bucket(
    options: StorageOptions,
) -> None:
    async with open_storage(replace(options, fast=True, operation_timeout=PATIENT)) as storage:
        asked = calls_of_the_sdk(storage)

        assert await S3ObjectStore(storage).head(KEY) is None

        assert asked == ["HeadBucket"]


async def test_an_object_that_changed_is_noticed(
    options: StorageOptions, raw_s3: S3Client, bucket: str
) -> None:
    await raw_s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    async with open_storage(replace(options, fast=True, operation_timeout=PATIENT)) as storage:
        objects = S3ObjectStore(storage)
        found = await objects.head(KEY)
        assert found is not None
        await raw_s3.put_object(Bucket=bucket, Key=KEY, Body=BODY + BODY)

        with pytest.raises(PreconditionChanged):
            await objects.first_bytes(found, 10)


async def test_a_refused_connection_is_retried_by_the_sdk() -> None:
    async with scripted_store(lambda _: HEADERS) as store:
        gone = store.endpoint
    async with opened_at(gone) as storage:
        asked = calls_of_the_sdk(storage)

        with pytest.raises(StorageUnavailable):
            await S3ObjectStore(storage).head(KEY)

        assert asked == ["HeadObject"]


async def test_sent_requests_equal_the_signed_ones() -> None:
    async with scripted_store(lambda _: HEADERS) as store, opened_at(store.endpoint) as storage:
        await S3ObjectStore(storage).head("files/ä b/../c?d#e")

        (sent,) = store.heads

    first, *lines = sent.removesuffix("\r\n\r\n").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    assert first == "HEAD /bucket/files/%C3%A4%20b/../c%3Fd%23e HTTP/1.1"
    assert fields["host"] == store.endpoint.removeprefix("http://")
    assert ";".join(sorted({*fields} - {"authorization"})) in fields["authorization"]


async def test_a_stale_connection_is_replaced_without_the_sdk() -> None:
    async with tired_store(HEADERS, 2) as store, opened_at(store.endpoint) as storage:
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)

        assert [await objects.head(KEY) for _ in range(6)] == [FOUND] * 6

        assert store.connections == 3
        assert asked == []


async def test_no_more_connections_than_allowed_are_made_for_heads() -> None:
    async with (
        tired_store(HEADERS, 1000) as store,
        opened_at(store.endpoint, max_connections=2) as storage,
    ):
        one, other = S3ObjectStore(storage), S3ObjectStore(storage)

        found = await asyncio.gather(*(each.head(KEY) for each in [one, other] * 25))

        assert found == [FOUND] * 50
        assert store.connections <= 2


async def test_the_connections_end_with_the_storage() -> None:
    async with scripted_store(lambda _: HEADERS) as store:
        async with opened_at(store.endpoint) as storage:
            await S3ObjectStore(storage).head(KEY)
            assert store.ended == set()

        await eventually(lambda: store.ended == {1}, within=5)  # sooner than by the idle timeout

        assert storage.clients is not None
        assert storage.clients.session.closed


async def test_unusual_responses_are_repeated_by_the_sdk_within_its_attempts() -> None:
    async with (
        canned_store(http_answer("503 Slow Down")) as store,
        opened_at(store.endpoint) as storage,
    ):
        asked = calls_of_the_sdk(storage)

        with pytest.raises(StorageUnavailable):
            await S3ObjectStore(storage).head(KEY)

        assert asked == ["HeadObject"]
        assert store.requests <= 1 + 3


async def test_a_silent_connection_times_out_in_time_for_another_attempt() -> None:
    async with (
        canned_store(None) as store,
        opened_at(store.endpoint, operation_timeout=3.0) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        describing = asyncio.create_task(S3ObjectStore(storage).head(KEY))
        await store.asked.wait()
        store.answer = http_answer("200 OK", b"", f"ETag: {ETAG}")

        assert await describing == structs.replace(FOUND, size=0)

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
        await objects.head(KEY)
        first = await signer.sign_upload(put_request(KEY))
        role._expiry_time = datetime.now(UTC)
        await objects.head(KEY)
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


@pytest.mark.parametrize("old", [False, True])
async def test_a_private_authority_is_trusted_where_the_sdk_is_told_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, old: bool
) -> None:
    authority = Authority("authority", old=old)
    certificate, key = authority.issue("store").write(tmp_path, "store")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}"), tls) as store:
        async with opened_at(store.endpoint) as storage:
            with pytest.raises(StorageUnavailable):
                await S3ObjectStore(storage).head(KEY)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        async with opened_at(store.endpoint) as storage:
            asked = calls_of_the_sdk(storage)

            assert await S3ObjectStore(storage).head(KEY) == structs.replace(FOUND, size=0)

            assert asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
async def test_a_certificate_must_be_of_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    tls = _trusted(monkeypatch, tmp_path, address=address)
    async with (
        scripted_store(lambda _: HEADERS, tls) as store,
        opened_at(store.endpoint) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)
        if address in store.endpoint:
            assert [await objects.head(KEY) for _ in range(2)] == [FOUND] * 2
            assert (asked, store.asked_on) == ([], [1, 1])
        else:
            with pytest.raises(StorageUnavailable):
                await objects.head(KEY)
            assert (asked, store.heads) == (["HeadObject"], [])


@pytest.mark.skipif(not _resolves("localhost"), reason="needs /etc/hosts to name localhost")
@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
async def test_a_certificate_must_match_the_host_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    tls = _trusted(monkeypatch, tmp_path, DNSName(name))
    told: list[str | None] = []
    tls.sni_callback = lambda _socket, host, _context: told.append(host)
    async with scripted_store(lambda _: HEADERS, tls) as store:
        endpoint = store.endpoint.replace("127.0.0.1", "localhost")
        async with opened_at(endpoint) as storage:
            objects = S3ObjectStore(storage)
            if name == "localhost":
                assert await objects.head(KEY) == FOUND
            else:
                with pytest.raises(StorageUnavailable):
                    await objects.head(KEY)
    assert set(told) == {"localhost"}


def _trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *names: DNSName, address: str = "127.0.0.1"
) -> ssl.SSLContext:
    """The TLS context of a server whose authority the SDK trusts."""
    authority = Authority("authority")
    certificate, key = authority.issue("store", *names, address=address).write(tmp_path, "store")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.pem)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    return tls


@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1"])
async def test_a_proxy_is_left_to_the_sdk(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    async with (
        canned_store(http_answer("200 OK", b"", f"ETag: {ETAG}")) as proxy,
        scripted_store(lambda _: HEADERS) as store,
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        monkeypatch.setenv("no_proxy", no_proxy)
        async with opened_at(store.endpoint, operation_timeout=3.0) as storage:
            asked = calls_of_the_sdk(storage)

            await S3ObjectStore(storage).head(KEY)

            if no_proxy:
                assert (asked, len(store.heads), proxy.heads) == ([], 1, [])
            else:
                (head,) = proxy.heads
                assert (asked, store.heads) == (["HeadObject"], [])
                assert head.startswith(f"HEAD {store.endpoint}/bucket/{KEY} HTTP/1.1")
