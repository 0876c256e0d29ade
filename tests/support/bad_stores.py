"""Faulty object storage: small servers that fail or send wrong responses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass
class CannedStore:
    """Answers every request with the same bytes; None: accepts connections, then stays silent."""

    answer: bytes | None
    endpoint: str = ""
    requests: int = 0
    heads: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            self.requests += 1
            self.asked.set()
            if self.answer is None:
                await self._released.wait()
            else:
                writer.write(self.answer)
                await writer.drain()
        writer.close()

    def release(self) -> None:
        self._released.set()


@asynccontextmanager
async def canned_store(
    answer: bytes | None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[CannedStore]:
    store = CannedStore(answer)
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    store.endpoint = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        store.release()
        server.close()
        await server.wait_closed()


@dataclass
class TiredStore:
    """Keeps a connection for `patience` responses, then drops it without a response."""

    answer: bytes
    patience: int
    endpoint: str = ""
    connections: int = 0
    answered: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            for _ in range(self.patience):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answer)
                self.answered += 1
            await reader.readuntil(b"\r\n\r\n")
        writer.close()


@asynccontextmanager
async def tired_store(answer: bytes, patience: int) -> AsyncIterator[TiredStore]:
    store = TiredStore(answer, patience)
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    store.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        server.close()
        await server.wait_closed()


@dataclass
class ScriptedStore:
    """Keeps its connections, and answers each request with the result of `script` for its head.

    None ends the connection. While `may_answer` is not set, it is silent. `asked_on` has the number
    of the connection of each request, the first being 1.
    """

    script: Callable[[str], bytes | None]
    endpoint: str = ""
    heads: list[str] = field(default_factory=list)
    asked_on: list[int] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        number = len(self.writers)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                self.asked_on.append(number)
                await self.may_answer.wait()
                answer = self.script(head)
                if answer is None:
                    break
                writer.write(answer)
        self.ended.add(number)
        writer.close()

    @property
    def keys(self) -> list[str]:
        """The requested keys, by their last part."""
        return [head.split(" ")[1].rpartition("/")[2] for head in self.heads]


@asynccontextmanager
async def scripted_store(
    script: Callable[[str], bytes | None], tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedStore]:
    store = ScriptedStore(script)
    store.may_answer.set()
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    store.endpoint = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield store
    finally:
        store.may_answer.set()
        for writer in store.writers:
            writer.close()
        server.close()
        await server.wait_closed()


def one_by_one(*answers: bytes | None) -> Callable[[str], bytes | None]:
    """A script that returns each of the responses once, regardless of the request."""
    left = iter(answers)
    return lambda _: next(left)


def http_answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP response that ends its connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def s3_error(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>AKIASECRET at 10.0.0.7</Message></Error>"
    return http_answer(status, body.encode(), "Content-Type: application/xml")


@dataclass(frozen=True)
class Exchange:
    """A request to object storage, and its response."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int
    answer_headers: dict[str, str]
    body: bytes

    def saying(self, status: int) -> Exchange:
        """Returns a copy with another status."""
        return replace(self, status=status)

    def with_headers(self, headers: dict[str, str]) -> Exchange:
        """Returns a copy with these headers."""
        return replace(self, answer_headers=headers)

    def refusing(self, status: int, code: str) -> Exchange:
        """Returns a copy that is a refusal of S3."""
        return replace(self, status=status, body=f"<Error><Code>{code}</Code></Error>".encode())


Lie = Callable[[Exchange], Exchange]
_Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]


@asynccontextmanager
async def lying_store(truthful_endpoint: str, lie: Lie) -> AsyncIterator[str]:
    """Yields the endpoint of a proxy that forwards all requests and changes the responses.

    It keeps the Host header, which is signed, so that the server behind accepts the requests.
    """
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def handle(request: web.BaseRequest) -> web.Response:
            return _as_response(lie(await _pass_on(http, truthful_endpoint, request)))

        async with running(handle) as endpoint:
            yield endpoint


@asynccontextmanager
async def delayed_store(
    truthful_endpoint: str, before: Callable[[web.BaseRequest], Awaitable[None]]
) -> AsyncIterator[str]:
    """Yields the endpoint of a proxy that awaits `before` and then forwards the request."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def handle(request: web.BaseRequest) -> web.Response:
            await before(request)
            return _as_response(await _pass_on(http, truthful_endpoint, request))

        async with running(handle) as endpoint:
            yield endpoint


@asynccontextmanager
async def hasty_store(truthful_endpoint: str, raw_s3: S3Client) -> AsyncIterator[str]:
    """A server that checks `If-None-Match` when a PUT begins, and not again when it ends."""
    taken: set[str] = set()
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def handle(request: web.BaseRequest) -> web.Response:
            if request.method != "PUT" or "If-None-Match" not in request.headers:
                return _as_response(await _pass_on(http, truthful_endpoint, request))
            if request.path in taken:
                return web.Response(status=412)
            body = await request.read()
            bucket, _, key = request.path.lstrip("/").partition("/")
            await raw_s3.put_object(
                Bucket=bucket, Key=key, Body=body, ContentType=request.headers["Content-Type"]
            )
            taken.add(request.path)
            return web.Response(status=200)

        async with running(handle) as endpoint:
            yield endpoint


async def _pass_on(
    http: aiohttp.ClientSession, endpoint: str, request: web.BaseRequest
) -> Exchange:
    headers = {n: v for n, v in request.headers.items() if n.lower() != "transfer-encoding"}
    async with http.request(
        request.method,
        URL(f"{endpoint}{request.raw_path}", encoded=True),
        headers=headers,
        data=await request.read(),
        skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
    ) as answer:
        return Exchange(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={n.lower(): v for n, v in request.headers.items()},
            status=answer.status,
            answer_headers=dict(answer.headers),
            body=await answer.read(),
        )


def _as_response(exchange: Exchange) -> web.Response:
    kept = {n: v for n, v in exchange.answer_headers.items() if n.lower() not in _HOP_BY_HOP}
    if exchange.method == "HEAD" and (size := exchange.answer_headers.get("Content-Length")):
        kept["Content-Length"] = size
    return web.Response(status=exchange.status, headers=kept, body=exchange.body or None)


@asynccontextmanager
async def running(
    handle: Callable[[web.BaseRequest], Awaitable[web.Response]],
) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
