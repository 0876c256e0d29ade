"""Object storage for tests that gives scripted answers and records the requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from attachery.v1.resources_pb2 import UploadTarget

SECRET = "X-Amz-Signature=5ec4e7"


@dataclass
class Received:
    """One request to object storage, with its body if that is small."""

    raw_path: str
    headers: list[tuple[str, str]]
    size: int
    start: bytes


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(status: int, text: str = "", **headers: str) -> Answer:
    async def respond(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return respond


@dataclass
class ScriptedStorage:
    """Gives one answer after the other, then 200."""

    answers: list[Answer]
    url: str = ""
    received: list[Received] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        start, size = b"", 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            start += chunk[: 4096 - len(start)]
        headers = [(name.lower(), value) for name, value in request.headers.items()]
        self.received.append(Received(request.raw_path, headers, size, start))
        scripted = self.answers.pop(0) if self.answers else answer(200, "0123456789")
        return await scripted(request)

    def target(self, method: str = "PUT", **headers: str) -> UploadTarget:
        return UploadTarget(method=method, url=self.url, headers=headers)


@asynccontextmanager
async def scripted_storage(*answers: Answer) -> AsyncIterator[ScriptedStorage]:
    storage = ScriptedStorage(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", storage.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    storage.url = f"http://127.0.0.1:{runner.addresses[0][1]}/b/k?X-Amz-Credential=a%2Fb&{SECRET}"
    try:
        yield storage
    finally:
        await runner.cleanup()
