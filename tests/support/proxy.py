"""A TCP proxy between the service and a dependency, which can hold or cut its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards bytes, until it has to hold responses or cut connections."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut = False
        self.held = asyncio.Event()  # set once something came back while holding
        self.left = asyncio.Event()  # set once a client has closed its connection while holding
        self.port = 0

    def hold(self) -> None:
        """Holds all responses from now on."""
        self.held.clear()
        self.left.clear()
        self._passing.clear()

    def release(self) -> None:
        """Forwards the held responses, and all later ones."""
        self._cut = False
        self._passing.set()

    def cut(self) -> None:
        """Breaks every connection, and each new one at once."""
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def in_front_of(self, url: str) -> str:
        """The URL of the same dependency through this proxy."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._upstream)
        self._writers |= {writer, back}
        with suppress(OSError):
            await asyncio.gather(self._pump(reader, back), self._pump_back(there, writer))
        for one in (writer, back):
            self._writers.discard(one)
            one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        self.left.set()
        writer.close()

    async def _pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if not self._passing.is_set():
                self.held.set()
            await self._passing.wait()
            writer.write(chunk)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxy_of(url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the URL's address, on loopback."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.release()
        proxy.cut()
        server.close()
        await server.wait_closed()
