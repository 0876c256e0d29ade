"""HTTP requests with arbitrary bytes in their headers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

RawHeaders = Iterable[tuple[bytes, bytes]]


async def raw_request(
    method: str, url: str, headers: RawHeaders, body: bytes = b""
) -> tuple[int, bytes]:
    """Returns the status and the rest of the response; one connection per request."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2 * 1024**2)
    fields = [
        (b"Host", parts.netloc.encode()),
        (b"Connection", b"close"),
        (b"Content-Length", str(len(body)).encode()),
        *headers,
    ]
    lines = [f"{method} {parts.path}?{parts.query} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in fields]
    try:
        async with asyncio.timeout(30):
            writer.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            with suppress(ConnectionError):  # a server may refuse before it has read all of it
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            return int(head.split(b" ", 2)[1]), await reader.read()
    finally:
        writer.close()
