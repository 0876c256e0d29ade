"""The accepted responses to a HEAD; after any other, the SDK repeats the request."""

from __future__ import annotations

import pytest

from attachery_service.s3.http.fast_reads import choose_reads
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.reads import SdkReads
from support.bad_stores import one_by_one, scripted_store
from support.processes import eventually
from support.unbound_storage import ETAG, FOUND, HEADERS, KEY, calls_of_the_sdk, opened_at

pytestmark = pytest.mark.usefixtures("attempts_without_a_pause")

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(HEADERS.lower().replace(b"http", b"HTTP"), id="names-in-lower-case"),
        pytest.param(HEADERS.replace(b": ", b":\t ").replace(b"5\r", b"5 \t\r"), id="white-space"),
        pytest.param(HEADERS.replace(b" OK", b""), id="no-reason"),
        pytest.param(HEADERS.replace(b"OK\r\n", b"OK\r\nVary: a\r\nVary: b\r\n"), id="vary-twice"),
        pytest.param(HEADERS.replace(b"OK\r\n", b"OK\r\nConnection: Keep-Alive\r\n"), id="kept"),
        pytest.param(HEADERS.replace(b"ETag", b"x-a: \xff\r\nETag"), id="latin-1"),
        pytest.param(HEADERS.replace(b"ETag", "x-a: Ü\r\nETag".encode()), id="utf-8"),
        pytest.param(HEADERS.replace(b"ETag", b"x-a: 1\r\nx-a: 2\r\nETag"), id="metadata-twice"),
    ],
)
async def test_an_answer_may_be_written_in_other_ways(answer: bytes) -> None:
    async with (
        scripted_store(one_by_one(answer, NOT_FOUND, HEADERS)) as store,
        opened_at(store.endpoint) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        reads = await choose_reads(storage, SdkReads(storage.s3, "bucket"))

        assert await S3ObjectStore(storage).head(KEY) == FOUND
        assert await reads.head(KEY) is None
        assert await reads.head(KEY) == {"content-length": "5", "etag": ETAG}

        assert asked == []
        assert store.asked_on == [1, 1, 1]


async def test_an_answer_that_is_the_last_is_believed_and_its_connection_not_used_again() -> None:
    last = HEADERS.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    async with (
        scripted_store(lambda _: last) as store,
        opened_at(store.endpoint, max_connections=1) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)

        assert [await objects.head(KEY) for _ in range(3)] == [FOUND] * 3

        assert store.asked_on == [1, 2, 3]
        assert asked == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="nothing"),
        pytest.param(HEADERS.replace(b"200 OK", b"503 Slow Down"), id="busy"),
        pytest.param(HEADERS.replace(b"200 OK", b"403 Forbidden"), id="refused"),
        pytest.param(HEADERS.replace(b"200 OK", b"204 No Content"), id="another-success"),
        pytest.param(
            HEADERS.replace(b"200 OK\r\n", b"301 Moved\r\nLocation: http://127.0.0.1:1/\r\n"),
            id="elsewhere",
        ),
        pytest.param(head("HTTP/1.1 200 OK", "Content-Length: 5"), id="no-etag"),
        pytest.param(head("HTTP/1.1 200 OK", f"ETag: {ETAG}"), id="no-length"),
    ],
)
async def test_any_other_response_is_repeated_by_the_sdk(answer: bytes | None) -> None:
    async with (
        scripted_store(one_by_one(answer, HEADERS, HEADERS)) as store,
        opened_at(store.endpoint) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)

        assert await objects.head(KEY) == FOUND
        assert asked == ["HeadObject"]
        assert await objects.head(KEY) == FOUND

        assert asked == ["HeadObject"]
        assert store.asked_on[1] == 2


@pytest.mark.sample(5)
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(HEADERS.replace(b"1.1", b"1.0"), id="http-1.0"),
        pytest.param(HEADERS + b"12345", id="body"),
        pytest.param(HEADERS + HEADERS, id="two-answers"),
        pytest.param(head("HTTP/1.1 100 Continue"), id="only-continue"),
        pytest.param(head("HTTP/1.1 100 Continue") + HEADERS, id="continue"),
        pytest.param(head("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c"), id="upgrade"),
        pytest.param(HEADERS.replace(b"ETag", b"ETag "), id="blank-before-colon"),
        pytest.param(HEADERS.replace(b"ETag", b" ETag"), id="folded"),
        pytest.param(HEADERS.replace(b"ETag:", b"ETag"), id="no-colon"),
        pytest.param(HEADERS.replace(b"ETag", b"ETag: x\nETag"), id="bare-lf"),
        pytest.param(HEADERS.replace(b"ETag", b"ETag: x\rETag"), id="bare-cr"),
        pytest.param(HEADERS.replace(b"0\r\n", b"0\0\r\n"), id="nul"),
        pytest.param(HEADERS.replace(b"ETag", b"Content-Length: 6\r\nETag"), id="two-lengths"),
        pytest.param(HEADERS.replace(b"ETag", b"etag: x\r\nETag"), id="two-etags"),
        pytest.param(HEADERS.replace(b"ETag", b"x-a: " + b"x" * 40_000 + b"\r\nETag"), id="long"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx-a: " + b"x" * 40_000, id="without-end"),
        pytest.param(b"220 mail.example ESMTP\r\n\r\n", id="mail"),
        pytest.param(b"\0" * 40_000, id="noise"),
    ],
)
async def test_a_malformed_response_is_repeated_by_the_sdk_and_ends_its_connection(
    answer: bytes,
) -> None:
    async with (
        scripted_store(one_by_one(answer, HEADERS, HEADERS)) as store,
        opened_at(store.endpoint, max_connections=1) as storage,
    ):
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)

        assert await objects.head(KEY) == FOUND
        await eventually(lambda: 1 in store.ended, within=5)  # sooner than by the idle timeout
        assert await objects.head(KEY) == FOUND

        assert asked == ["HeadObject"]
        assert store.asked_on == [1, 2, 3]


@pytest.mark.parametrize("sent", [HEADERS[:1], HEADERS[:-1]], ids=["one-byte", "all-but-one"])
async def test_a_partial_response_is_none(sent: bytes) -> None:
    """Also on a connection that has worked before: the server may have processed the request."""

    def script(_: str) -> bytes | None:
        if len(store.heads) == 2:
            store.writers[0].write(sent)
            return None
        return HEADERS

    async with scripted_store(script) as store, opened_at(store.endpoint) as storage:
        asked = calls_of_the_sdk(storage)
        objects = S3ObjectStore(storage)

        assert [await objects.head(KEY) for _ in range(2)] == [FOUND] * 2

        assert asked == ["HeadObject"]
        assert store.asked_on == [1, 1, 2]
