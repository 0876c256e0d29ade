"""A fake of object storage that costs almost nothing: every key has the same object.

It answers the service's requests to S3 (HEAD, GET with a range, PUT, copy, POST, DELETE) as fast as
a Python process can, so that its cost is not measured. It ignores signatures. Run as `python -m
bench.stand_in`; prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Final, cast

import uvloop

SIZE: Final = 1_024
CONTENT_TYPE: Final = "application/pdf"
BODY: Final = b"%PDF-1.7\n".ljust(SIZE, b" ")
ETAG: Final = hashlib.md5(BODY, usedforsecurity=False).hexdigest()

_HEAD_END: Final = b"\r\n\r\n"
_KEY: Final = re.compile(rb"<Key>[^<]*</Key>")
_DATE: Final = "Sat, 01 Aug 2026 00:00:00 GMT"
_COPIED: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f'<LastModified>2026-08-01T00:00:00.000Z</LastModified><ETag>"{ETAG}"</ETag>'
    "</CopyObjectResult>"
).encode()


def _answer(status: str, length: int, *more: str, body: bytes = b"") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {length}", f"Date: {_DATE}", *more, "", "")
    return "\r\n".join(lines).encode() + body


_OBJECT: Final = (
    f'ETag: "{ETAG}"',
    f"Content-Type: {CONTENT_TYPE}",
    f"Last-Modified: {_DATE}",
    "Accept-Ranges: bytes",
)
_HEAD: Final = _answer("200 OK", SIZE, *_OBJECT)
_GET: Final = _answer(
    "206 Partial Content", SIZE, *_OBJECT, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", body=BODY
)
_COPY: Final = _answer("200 OK", len(_COPIED), "Content-Type: application/xml", body=_COPIED)
_PUT: Final = _answer("200 OK", 0, f'ETag: "{ETAG}"')
_GONE: Final = _answer("204 No Content", 0)


class _Store(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        assert self._transport is not None
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = self._buffer[:end]
            start = end + len(_HEAD_END)
            stop = start + (0 if head.startswith((b"HEAD", b"GET")) else _rest(head))
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[start:stop], self._buffer[stop:]
            self._transport.write(_answer_to(head, body))


def _answer_to(head: bytes, body: bytes) -> bytes:
    if head.startswith(b"HEAD"):
        return _HEAD
    if head.startswith(b"GET"):
        return _GET
    if head.startswith(b"PUT"):
        return _COPY if b"x-amz-copy-source:" in head.lower() else _PUT
    if head.startswith(b"POST") and b"?delete" in head.split(b"\r\n", 1)[0]:
        return _deleted(body)
    return _GONE


def _deleted(asked: bytes) -> bytes:
    """The response of a DeleteObjects: all keys are deleted."""
    keys = b"".join(b"<Deleted>%s</Deleted>" % key for key in _KEY.findall(asked))
    told = b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%s</DeleteResult>' % keys
    return _answer("200 OK", len(told), "Content-Type: application/xml", body=told)


def _rest(head: bytes) -> int:
    _, found, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0]) if found else 0


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Store, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
