"""An HTTP proxy on loopback for tests: forwards http requests, tunnels with CONNECT (RFC 9110)."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class HttpProxy:
    """`requests` are the request lines it received.

    `refusal`: its answer to all of them, such as `403 Forbidden`. `upstream`: the host and port it
    connects to, whatever the address. With `credentials` (`user:password`) it demands Basic
    authentication.
    """

    def __init__(self, credentials: str | None = None) -> None:
        self._expected = credentials and f"Basic {b64encode(credentials.encode()).decode()}"
        self.requests: list[str] = []
        self.refusal = ""
        self.is_silent = False
        self.upstream: tuple[str, int] | None = None
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def methods(self) -> list[str]:
        return [line.partition(" ")[0] for line in self.requests]

    def url(self, credentials: str = "", scheme: str = "http") -> str:
        at = "@" if credentials else ""
        return f"{scheme}://{credentials}{at}127.0.0.1:{self.port}"

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *headers = head.removesuffix("\r\n\r\n").split("\r\n")
        self.requests.append(line)
        if self.is_silent:
            await reader.read()
            return
        refusal = self.refusal or self._judge(headers)
        if refusal:
            writer.write(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        method, address, _ = line.split(" ")
        if method == "CONNECT":
            there, back = await self._open(f"//{address}")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            there, back = await self._open(address)
            back.write(_forwarded(method, address, headers))
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
        back.close()

    async def _open(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url)
        host, port = self.upstream or (parts.hostname, parts.port or 80)
        reader, writer = await asyncio.open_connection(host, port)
        self._writers.add(writer)
        return reader, writer

    def _judge(self, headers: list[str]) -> str:
        shown = [h.partition(": ")[2] for h in headers if h.lower().startswith("proxy-auth")]
        accepted = self._expected is None or shown == [self._expected]
        return "" if accepted else "407 Proxy Authentication Required"


def _forwarded(method: str, address: str, headers: list[str]) -> bytes:
    """The request in origin form, without the headers for the proxy, on a connection of its own."""
    path = address.split("/", 3)[3]
    hidden = ("proxy-", "connection:")
    kept = [h for h in headers if not h.lower().startswith(hidden)] + ["Connection: close"]
    return "\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "", ""]).encode("latin-1")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def http_proxy(
    credentials: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpProxy]:
    """A proxy until the end of the block; with `tls` it is an https one."""
    proxy = HttpProxy(credentials)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
