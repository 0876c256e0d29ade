"""Every fault of object storage is one of two errors, in time, and without the original text."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from attachery_service.aio.deadline import set_time_left
from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm
from attachery_service.domain.errors import AttacheryError, StorageMisconfigured, StorageUnavailable
from attachery_service.domain.object_faults import PreconditionChanged
from attachery_service.domain.sessions import SealedObject
from attachery_service.s3.client import (
    Storage,
    StorageOptions,
    ensure_bucket,
    open_storage,
    ping,
)
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from support.bad_stores import canned_store, http_answer, s3_error
from support.uploading import form_request, put_request

SOURCE = StoredObject(
    key="files/a/b/c",
    size=100,
    etag="0" * 32,
    etag_is_md5=True,
    content_type="text/plain",
    content_encoding="",
    server_checksums=NO_CHECKSUMS,
)

pytestmark = pytest.mark.usefixtures("attempts_without_a_pause")

Call = Callable[[Storage], Awaitable[object]]


def through_the_sdk(storage: Storage) -> Storage:
    return replace(storage, options=replace(storage.options, fast=False), clients=None)


CALLS: dict[str, Call] = {
    "head": lambda storage: S3ObjectStore(storage).head(SOURCE.key),
    "sdk_head": lambda storage: S3ObjectStore(through_the_sdk(storage)).head(SOURCE.key),
    "copy": lambda storage: S3ObjectStore(storage).copy(SOURCE, "files/copy", "text/plain"),
    "first_bytes": lambda storage: S3ObjectStore(storage).first_bytes(SOURCE, 10),
    "sdk_first_bytes": lambda storage: S3ObjectStore(through_the_sdk(storage)).first_bytes(
        SOURCE, 10
    ),
    "digest": lambda storage: S3ObjectStore(storage).digest(SOURCE, [Algorithm.MD5]),
    "delete": lambda storage: S3ObjectStore(storage).delete(SOURCE.key),
    "delete_many": lambda storage: S3ObjectStore(storage).delete_many([SOURCE.key]),
    "ping": ping,
}
FIRST_BYTES = ["first_bytes", "sdk_first_bytes"]
READS = [*FIRST_BYTES, "digest"]
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)

GARBAGE = {
    "not_http": b"\x00\x01\x02 what?\r\n\r\n",
    "nothing": b"",
    "html": http_answer(
        "200 OK", b"<html><p>Welcome to nginx!<br></html>", "Content-Type: text/html"
    ),
    "odd_headers": http_answer("200 OK", b"", "ETag: \xff", "Last-Modified: yesterday"),
    "odd_xml": http_answer("500 Oops", b"<Error><Code>half", "Content-Type: application/xml"),
}

# Transient refusals, by S3's error code.
PASSING = {
    "503 Slow Down": "SlowDown",
    "500 Internal Server Error": "InternalError",
    "400 Bad Request": "RequestTimeout",
    "429 Too Many Requests": "TooManyRequests",
    "409 Conflict": "OperationAborted",
}
STANDING = {
    "403 Forbidden": "AccessDenied",
    "403 Not Allowed": "InvalidAccessKeyId",
    "403 Wrong": "SignatureDoesNotMatch",
    "400 Bad Request": "ExpiredToken",
    "501 Not Implemented": "NotImplemented",
}


def options_at(endpoint: str, **more: object) -> StorageOptions:
    values = {"access_key": "AKIASECRET", "secret_key": "SECRETSECRET", **more}
    return StorageOptions(bucket="bucket", endpoint=endpoint, **values)  # type: ignore[arg-type]


@asynccontextmanager
async def opened_at(endpoint: str, **more: object) -> AsyncIterator[Storage]:
    async with open_storage(options_at(endpoint, **more)) as storage:
        yield storage


async def failure(
    call: Call, storage: Storage, kind: type[AttacheryError], *, within: float = 10.0
) -> AttacheryError:
    """Returns the error of the call, which must come in time and hide the original text."""
    began = time.monotonic()
    with pytest.raises(kind) as raised:
        await call(storage)
    assert time.monotonic() - began < within
    told = f"{raised.value!r} {raised.value} {raised.value.facts}"
    assert "SECRET" not in told
    assert "127.0.0.1" not in told
    assert "10.0.0.7" not in told
    return raised.value


@pytest.mark.sample(2)
@every_call
async def test_a_missing_bucket_is_an_operators_matter(storage: Storage, call: Call) -> None:
    missing = replace(storage, options=replace(storage.options, bucket="there-is-no-such-bucket"))

    await failure(call, missing, StorageMisconfigured)


@pytest.mark.sample(3)
@every_call
@pytest.mark.parametrize(
    "keys", [{"secret_key": "wrong"}, {"access_key": "AKIAWRONG"}], ids=["secret", "key_id"]
)
async def test_wrong_keys_are_an_operators_matter(
    options: StorageOptions, call: Call, keys: dict[str, str]
) -> None:
    async with open_storage(replace(options, **keys)) as storage:  # type: ignore[arg-type]
        await failure(call, storage, StorageMisconfigured)


@pytest.mark.sample(2)
@every_call
async def test_a_dead_endpoint_is_unavailable(call: Call) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async with opened_at(endpoint) as storage:
            await failure(call, storage, StorageUnavailable)


@pytest.mark.sample(2)
@every_call
async def test_a_silent_store_is_unavailable_within_the_bound(call: Call) -> None:
    async with (
        canned_store(None) as store,
        opened_at(store.endpoint, operation_timeout=0.3, transfer_timeout=0.3) as storage,
    ):
        await failure(call, storage, StorageUnavailable)


async def test_a_nearer_deadline_shortens_the_wait() -> None:
    async def call(storage: Storage) -> None:
        set_time_left(0.1)
        await S3ObjectStore(storage).head("key")

    async with canned_store(None) as store, opened_at(store.endpoint, operation_timeout=30) as s3:
        # In a task of its own, since the deadline belongs to the task.
        await asyncio.create_task(failure_of(call, s3))


async def failure_of(call: Call, storage: Storage) -> None:
    await failure(call, storage, StorageUnavailable)


async def test_a_dead_connection_leaves_time_for_another_attempt() -> None:
    async with (
        canned_store(None) as store,
        opened_at(store.endpoint, operation_timeout=0.9) as storage,
    ):
        await failure(ping, storage, StorageUnavailable)

        assert store.requests > 1


async def test_a_copy_may_be_silent_for_longer_than_other_calls() -> None:
    async with (
        canned_store(None) as store,
        opened_at(store.endpoint, operation_timeout=0.1, transfer_timeout=0.5) as storage,
    ):
        await failure(CALLS["copy"], storage, StorageUnavailable)

        assert store.requests == 1


@pytest.mark.sample(3)
# Without the calls whose response has no content to check.
@pytest.mark.parametrize("call", ["head", "sdk_head", "copy", *READS])
@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_unavailable(call: str, answer: bytes) -> None:
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(CALLS[call], storage, StorageUnavailable)


@pytest.mark.sample(3)
@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("status", PASSING)
async def test_transient_faults_are_unavailable(call: str, status: str) -> None:
    answer = s3_error(status, PASSING[status])
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(CALLS[call], storage, StorageUnavailable)


@pytest.mark.sample(3)
@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("status", STANDING)
async def test_permanent_faults_are_misconfigured(call: str, status: str) -> None:
    answer = s3_error(status, STANDING[status])
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(CALLS[call], storage, StorageMisconfigured)


@pytest.mark.sample(3)
@pytest.mark.parametrize("call", ["head", "sdk_head"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("500 Internal Server Error", StorageUnavailable),
        ("503 Slow Down", StorageUnavailable),
        ("429 Too Many Requests", StorageUnavailable),
        ("409 Conflict", StorageUnavailable),
        ("501 Not Implemented", StorageMisconfigured),
        ("400 Bad Request", StorageMisconfigured),
        ("403 Forbidden", StorageMisconfigured),
        ("301 Moved Permanently", StorageMisconfigured),
        ("307 Temporary Redirect", StorageMisconfigured),
    ],
)
async def test_a_refusal_without_a_body_is_classified_by_its_status(
    call: str, status: str, kind: type[AttacheryError]
) -> None:
    answer = http_answer(status, b"", "x-amz-bucket-region: eu-north-1")
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(CALLS[call], storage, kind)


async def test_attempts_are_bounded() -> None:
    answer = s3_error("503 Slow Down", "SlowDown")
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(ping, storage, StorageUnavailable)

        assert store.requests == 3


async def test_an_error_inside_a_good_answer_is_an_error() -> None:
    answer = s3_error("200 OK", "InternalError")
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(CALLS["copy"], storage, StorageUnavailable)


@pytest.mark.parametrize("call", READS)
async def test_a_cut_body_is_unavailable(call: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\nETag: {SOURCE.etag}\r\nContent-Length: 100\r\n\r\n12345".encode()
    async with canned_store(answer) as store, opened_at(store.endpoint) as storage:
        await failure(CALLS[call], storage, StorageUnavailable)


@pytest.mark.parametrize("call", READS)
async def test_a_store_that_ignores_the_condition_is_noticed(call: str) -> None:
    async with (
        canned_store(http_answer("200 OK", b"1" * 100, 'ETag: "another"')) as store,
        opened_at(store.endpoint) as storage,
    ):
        with pytest.raises(PreconditionChanged):
            await CALLS[call](storage)


@pytest.mark.parametrize("call", READS)
async def test_a_body_shorter_than_the_object_is_unavailable(call: str) -> None:
    async with (
        canned_store(http_answer("200 OK", b"12345", f"ETag: {SOURCE.etag}")) as store,
        opened_at(store.endpoint) as storage,
    ):
        await failure(CALLS[call], storage, StorageUnavailable)


async def test_cancelling_is_not_a_fault() -> None:
    async with (
        canned_store(None) as store,
        opened_at(store.endpoint, operation_timeout=30) as storage,
    ):
        task = asyncio.create_task(ping(storage))
        await store.asked.wait()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_no_credentials_are_an_operators_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    with pytest.raises(StorageMisconfigured) as raised:
        async with open_storage(StorageOptions(bucket="bucket")):
            pass

    assert "credentials" in raised.value.facts["detail"]


async def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async with open_storage(StorageOptions(bucket="bucket", region="eu-central-1")) as storage:
        target = await S3TargetSigner(storage).sign_upload(put_request("key"))
        form = await S3TargetSigner(storage).sign_upload(form_request("key"))

    assert target.url.startswith("https://bucket.s3.eu-central-1.amazonaws.com/key?")
    assert "AKIAENVIRONMENT" in target.url
    assert form.url == "https://bucket.s3.eu-central-1.amazonaws.com/"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "", "s3://bucket"])
async def test_an_impossible_endpoint_is_an_operators_matter(endpoint: str) -> None:
    with pytest.raises(StorageMisconfigured):
        async with opened_at(endpoint) as storage:
            await ping(storage)


def test_half_a_pair_of_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="come together"):
        StorageOptions(bucket="bucket", access_key="AKIA")


def test_options_do_not_show_secrets() -> None:
    options = StorageOptions(bucket="bucket", access_key="AKIA", secret_key="SECRETKEY")
    assert "SECRETKEY" not in repr(options)
    assert "AKIA" not in repr(options)


async def test_a_missing_bucket_is_made_once(storage: Storage, bucket: str) -> None:
    fresh = replace(storage, options=replace(storage.options, bucket=f"{bucket}-dev"))

    await ensure_bucket(fresh)
    await ensure_bucket(fresh)

    await ping(fresh)
    assert await S3ObjectStore(fresh).head("key") is None


async def test_signing_needs_no_store() -> None:
    async with opened_at("http://127.0.0.1:9") as storage:
        sealed = SealedObject("key", "")
        signer = S3TargetSigner(storage)

        await signer.sign_upload(put_request("key"))
        await signer.sign_download(sealed, timedelta(hours=1), "text/plain", "attachment")
