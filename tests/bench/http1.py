"""A minimal HTTP/1.1 client, which calls a REST service as cheaply as `http2` a gRPC service."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from bench.http2 import CallFailedError

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


def request(method: str, path: str, body: bytes, api_key: str = "") -> bytes:
    """The bytes of one request, with a JSON body unless it is empty."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "User-Agent: http-bench"]
    if api_key:
        lines.append(f"Authorization: Bearer {api_key}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class HttpConnection(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, *, bodiless: bool = False) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._bodiless = bodiless
        self._done: asyncio.Future[bytes] | None = None

    async def call(self, request: bytes) -> bytes:
        """Returns the response body. Raises CallFailedError unless the status is 2xx."""
        assert self._transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._done

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(CallFailedError(f"the connection was lost: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(_HEAD_END)
        if end < 0 or self._done is None:
            return
        start = end + len(_HEAD_END)
        stop = start + (0 if self._bodiless else _length(self._buffer[:end].lower()))
        if len(self._buffer) < stop:
            return
        status, body = self._buffer[9:12], self._buffer[start:stop]
        self._buffer = self._buffer[stop:]
        if self._done.done():
            return
        if status.startswith(b"2"):
            self._done.set_result(body)
        else:
            self._done.set_exception(CallFailedError(f"{status!r} {body!r}"))


async def connect(
    host: str, port: int, count: int, *, bodiless: bool = False
) -> list[HttpConnection]:
    """Opens `count` connections; `bodiless`: for responses to HEAD, whose length is not theirs."""
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: HttpConnection(bodiless=bodiless), host, port))[1]
        for _ in range(count)
    ]


def _length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at < 0:
        return 0
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
