"""Transfers by signed URLs: as the target says, in constant memory, despite storage's failures."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import web

from attachery.v1.resources_pb2 import Attachment, Checksums
from attachery_client import TransferFailed, http
from attachery_client.http import HttpTransfer
from attachery_client.transfer import (
    DEFAULT_DIGESTS,
    guess_content_type,
    read_body,
    replacing,
    verify,
)
from support.scripted_storage import SECRET, Answer, answer, scripted_storage

MIB = 1024 * 1024

ACCESS_DENIED = "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
LENGTH_REQUIRED = "<Error><Code>MissingContentLength</Code></Error>"
REQUEST_TIMEOUT = "<Error><Code>RequestTimeout</Code></Error>"


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Takes the bytes, and closes the connection without a response."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_of_it(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "10"})
    await response.prepare(request)
    await response.write(b"01234")
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.fixture
async def transfer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpTransfer]:
    monkeypatch.setattr(http, "_PAUSES", (0.0, 0.0, 0.0))
    opened = HttpTransfer()
    yield opened
    await opened.close()


async def test_a_put_is_the_target_to_the_letter(transfer: HttpTransfer, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    signed = {"content-type": "text/plain; charset=x", "content-length": "5", "if-none-match": "*"}
    async with scripted_storage() as storage:
        await transfer.send(storage.target(**signed), read_body(path, ()))
    (received,) = storage.received
    assert dict(received.headers).keys() - {"host", "connection"} == signed.keys()
    assert signed.items() <= dict(received.headers).items()
    assert len(received.headers) == len(dict(received.headers))
    assert received.start == b"hello"
    assert received.raw_path == f"/b/k?X-Amz-Credential=a%2Fb&{SECRET}"


async def test_a_put_has_a_length_where_the_target_has_none(
    transfer: HttpTransfer, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello")
    async with scripted_storage() as storage:
        await transfer.send(storage.target(**{"content-type": "text/plain"}), read_body(path, ()))
    (received,) = storage.received
    headers = dict(received.headers)
    assert headers["content-length"] == "5"
    assert "transfer-encoding" not in headers
    assert received.start == b"hello"


async def test_a_form_has_the_file_last_and_a_length(transfer: HttpTransfer) -> None:
    async with scripted_storage(answer(204)) as storage:
        target = storage.target("POST")
        target.form_fields.update({"key": "k", "policy": "cG9saWN5", "x-amz-date": "now"})
        await transfer.send(target, read_body(b"the bytes", ()))
    (received,) = storage.received
    headers = dict(received.headers)
    assert headers["content-length"] == str(received.size)
    assert "transfer-encoding" not in headers
    names = [part.split(b'"')[1] for part in received.start.split(b"Content-Disposition")[1:]]
    assert names == [*map(str.encode, target.form_fields), b"file"]
    assert b"\r\n\r\nthe bytes\r\n--" in received.start


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "fault",
    [answer(503), answer(500), answer(429), answer(400, REQUEST_TIMEOUT), hang_up],
    ids=["503", "500", "429", "timeout", "no answer"],
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_transient_failures_are_retried_from_the_start(
    transfer: HttpTransfer, fault: Answer, method: str
) -> None:
    async with scripted_storage(fault, fault) as storage:
        await transfer.send(storage.target(method), read_body(b"x" * MIB, ()))
    assert len(storage.received) == 3
    assert len({(r.size, len(r.start)) for r in storage.received}) == 1


async def test_a_lost_answer_to_a_write_once_target_is_a_success(transfer: HttpTransfer) -> None:
    async with scripted_storage(hang_up, answer(412)) as storage:
        await transfer.send(storage.target(**{"If-None-Match": "*"}), read_body(b"x", ()))
    assert len(storage.received) == 2


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (answer(403, ACCESS_DENIED), 403, "AccessDenied"),
        (answer(400, "no xml"), 400, ""),
        (answer(411, LENGTH_REQUIRED), 411, "MissingContentLength"),
        (answer(412), 412, ""),
        (answer(307, Location="/elsewhere"), 307, ""),
    ],
)
async def test_a_refusal_is_final(
    transfer: HttpTransfer, refusal: Answer, status: int, code: str
) -> None:
    async with scripted_storage(refusal) as storage:
        with pytest.raises(TransferFailed) as caught:
            await transfer.send(storage.target(), read_body(b"x", ()))
    assert (caught.value.status, caught.value.store_code) == (status, code)
    assert len(storage.received) == 1


async def test_retries_end_and_hide_the_url(transfer: HttpTransfer) -> None:
    async with scripted_storage(*[hang_up] * 99) as storage:
        with pytest.raises(TransferFailed) as caught:
            await transfer.send(storage.target(), read_body(b"x", ()))
        with pytest.raises(TransferFailed):
            await transfer.fetch(storage.url, BytesIO())
    # Four attempts each, and most versions of aiohttp repeat each of them once.
    assert 8 <= len(storage.received) <= 16
    assert caught.value.status is None
    assert caught.value.__context__ is None
    assert SECRET not in str(caught.value)


async def test_an_unreachable_url_is_a_failed_transfer(transfer: HttpTransfer) -> None:
    with pytest.raises(TransferFailed, match="ClientConnectorError"):
        await transfer.fetch(f"http://127.0.0.1:1/?{SECRET}", BytesIO())


async def test_a_file_that_grew_is_not_sent(transfer: HttpTransfer, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one")
    body = read_body(path, ())
    path.write_bytes(b"one two")
    async with scripted_storage() as storage:
        with pytest.raises(TransferFailed, match="changed"):
            await transfer.send(storage.target(), body)
    assert storage.received == []


async def test_a_cut_download_starts_again(transfer: HttpTransfer) -> None:
    sink = BytesIO()
    async with scripted_storage(half_of_it, answer(502, "sorry, later")) as storage:
        await transfer.fetch(storage.url, sink)
    assert sink.getvalue() == b"0123456789"
    assert len(storage.received) == 3


async def test_a_download_is_kept_as_it_is(transfer: HttpTransfer) -> None:
    sink = BytesIO()
    encoded = answer(200, "not gzip at all", **{"Content-Encoding": "gzip"})
    async with scripted_storage(encoded) as storage:
        await transfer.fetch(storage.url, sink)
    assert sink.getvalue() == b"not gzip at all"


async def test_memory_does_not_grow_with_the_file(transfer: HttpTransfer, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(100 * MIB)  # a hole: big to read, nothing on the disk
    async with scripted_storage() as storage:
        tracemalloc.start()
        try:
            await transfer.send(storage.target(), read_body(path, DEFAULT_DIGESTS))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert storage.received[0].size == 100 * MIB
    assert dict(storage.received[0].headers)["content-length"] == str(100 * MIB)
    assert peak < 8 * MIB


def test_digests_are_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    body = read_body(path, ("md5", "sha256"))
    assert (body.size, body.filename) == (3, "a.txt")
    assert body.digests["md5"] == "900150983cd24fb0d6963f7d28e17f72"
    assert body.digests["sha256"].startswith("ba7816bf")
    assert read_body(b"abc", ("sha256", "md5")).digests == body.digests


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.txt.br", "application/octet-stream"),
        ("README", "application/octet-stream"),
    ],
)
def test_types_are_guessed_from_names(name: str, expected: str) -> None:
    assert guess_content_type(name) == expected


@pytest.mark.parametrize(
    ("size", "sha256", "complaint"), [(4, "", "3 bytes"), (3, "00" * 32, "SHA-256")]
)
def test_downloads_are_verified(size: int, sha256: str, complaint: str) -> None:
    attachment = Attachment(size_bytes=size, checksums=Checksums(sha256=sha256))
    with pytest.raises(TransferFailed, match=complaint):
        verify(BytesIO(b"abc"), attachment)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def half_replace(path: Path) -> None:
    async with replacing(path) as file:
        file.write(b"half")
        raise TransferFailed


async def test_a_failure_leaves_the_destination_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"before")
    with pytest.raises(TransferFailed):
        await half_replace(path)
    assert contents(tmp_path) == {"kept": b"before"}


WITHOUT_AIOHTTP = """
import asyncio, sys
import attachery_client
assert "aiohttp" not in sys.modules
sys.modules["aiohttp"] = None

async def main():
    async with attachery_client.AttacheryClient("127.0.0.1:1", api_key="key") as client:
        try:
            await client.upload(b"x", tenant_id="acme", filename="x")
        except attachery_client.MissingExtra as error:
            print(error)

asyncio.run(main())
"""


def test_without_the_extra_the_error_names_the_package() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIOHTTP], capture_output=True, text=True, check=True
    )
    assert "attachery-client[transfer]" in ran.stdout
