"""Servers as operators run them."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import asyncpg
import grpc
import pytest

from attachery.v1 import attachments_pb2_grpc, upload_sessions_pb2, upload_sessions_pb2_grpc
from attachery_client import AttacheryClient
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import ALL_SCOPES
from support.commands import run
from support.processes import Done, Process, eventually, started
from support.service_fixtures import TENANT
from support.store_fixtures import StoreUnderTest

BODY = b"hello\n"

ServeSettings = dict[str, object]


@dataclass(frozen=True)
class Dev:
    """A running `attachery dev`."""

    process: Process
    ready_file: Path
    data_dir: Path
    ready: dict[str, Any]

    @property
    def listen(self) -> str:
        listen: str = self.ready["listen"]
        return listen

    @property
    def bearer(self) -> str:
        return f"authorization: Bearer {self.ready['api_key']}"

    def client(self, api_key: str | None = None) -> AttacheryClient:
        return AttacheryClient(self.listen, api_key=api_key or self.ready["api_key"])


@asynccontextmanager
async def running_dev(
    folder: Path, *arguments: str | Path, settings: ServeSettings | None = None
) -> AsyncIterator[Dev]:
    """Runs `attachery dev` on the folder's data; kills it at the end if it still runs."""
    ready_file, data_dir = folder / "ready.json", folder / "data"
    options = ("--listen", "127.0.0.1:0", "--data-dir", data_dir, "--ready-file", ready_file)
    with started(folder, "dev", *options, *arguments, settings=settings) as process:
        await eventually(lambda: process.has_ended or process.out.stat().st_size > 0, within=60)
        assert not process.has_ended, process.errors
        yield Dev(process, ready_file, data_dir, json.loads(ready_file.read_text()))


@pytest.fixture(scope="session")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    """One server for all tests that only use it."""
    async with running_dev(tmp_path_factory.mktemp("dev")) as running:
        yield running
        assert await running.process.stopped() == 0


@pytest.fixture
async def serve_settings(
    database_url: str, object_store: StoreUnderTest, bucket: str
) -> ServeSettings:
    """The settings of `attachery serve` for the servers of the test."""
    return {
        "listen": "127.0.0.1:0",
        "database_url": database_url,
        "s3_endpoint": object_store.endpoint,
        "s3_bucket": bucket,
        "s3_access_key": object_store.access_key,
        "s3_secret_key": object_store.secret_key,
        "seal": "write_once",
        "key_cache_time": 0,
    }


@pytest.fixture
def new_folder(tmp_path: Path) -> Callable[[], Path]:
    """A folder of its own for each command of a test."""

    def make() -> Path:
        folder = tmp_path / secrets.token_hex(4)
        folder.mkdir()
        return folder

    return make


@dataclass(frozen=True)
class Serving:
    """A running `attachery serve`, and a client for it."""

    process: Process
    listen: str
    api_key: str
    tenant_id: str
    channel: grpc.aio.Channel
    http: aiohttp.ClientSession

    @property
    def uploads(self) -> upload_sessions_pb2_grpc.UploadSessionServiceAsyncStub:
        return upload_sessions_pb2_grpc.UploadSessionServiceStub(self.channel)  # type: ignore[return-value]

    @property
    def attachments(self) -> attachments_pb2_grpc.AttachmentServiceAsyncStub:
        return attachments_pb2_grpc.AttachmentServiceStub(self.channel)  # type: ignore[return-value]

    def metadata(self, **more: str) -> tuple[tuple[str, str], ...]:
        named = ((name.replace("_", "-"), value) for name, value in more.items())
        return (("authorization", f"Bearer {self.api_key}"), *named)

    async def start(self, **more: str) -> upload_sessions_pb2.StartUploadSessionResponse:
        """Starts a session for BODY."""
        request = upload_sessions_pb2.StartUploadSessionRequest(
            tenant_id=self.tenant_id,
            filename="a.txt",
            content_type="text/plain",
            size_bytes=len(BODY),
        )
        return await self.uploads.StartUploadSession(request, metadata=self.metadata(**more))

    async def uploaded(self) -> str:
        """Returns the id of a session with its bytes uploaded."""
        started = await self.start()
        target = started.target
        async with self.http.request(
            target.method, target.url, data=BODY, headers=dict(target.headers)
        ) as answer:
            answer.raise_for_status()
        attachment_id: str = started.session.attachment_id
        return attachment_id

    async def complete(
        self, attachment_id: str, **more: str
    ) -> upload_sessions_pb2.CompleteUploadSessionResponse:
        request = upload_sessions_pb2.CompleteUploadSessionRequest(
            tenant_id=self.tenant_id, attachment_id=attachment_id
        )
        return await self.uploads.CompleteUploadSession(request, metadata=self.metadata(**more))


@pytest.fixture
async def dev_serving(dev: Dev) -> AsyncIterator[Serving]:
    """The shared `dev` in the form of a `serve`."""
    ready = dev.ready
    async with (
        grpc.aio.insecure_channel(dev.listen) as channel,
        aiohttp.ClientSession() as http,
    ):
        yield Serving(dev.process, dev.listen, ready["api_key"], ready["tenant_id"], channel, http)


class RunHere(Protocol):
    """Runs a command in this process, with an environment as in a process of its own."""

    async def __call__(
        self, *arguments: str | Path, settings: ServeSettings | None = None
    ) -> Done: ...


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunHere:
    """For `migrate`, `check` and `keys`: a new process takes a second each time."""

    async def run_command(*arguments: str | Path, settings: ServeSettings | None = None) -> Done:
        with monkeypatch.context() as patch:
            for name, value in (settings or {}).items():
                patch.setenv(f"ATTACHERY_{name.upper()}", str(value))
            code = await asyncio.to_thread(run, [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run_command


class Serve(Protocol):
    """Starts `attachery serve` with the test's settings."""

    async def __call__(self, **settings: object) -> Serving: ...


@pytest.fixture
async def serve(
    serve_settings: ServeSettings, new_folder: Callable[[], Path], database_url: str
) -> AsyncIterator[Serve]:
    """Killed at the end unless the test has stopped it."""
    async with AsyncExitStack() as stack:

        async def start(**settings: object) -> Serving:
            process = stack.enter_context(
                started(new_folder(), "serve", settings={**serve_settings, **settings})
            )
            return await stack.enter_async_context(serving(process, database_url))

        yield start


@asynccontextmanager
async def serving(process: Process, database_url: str) -> AsyncIterator[Serving]:
    """A caller, with a key of its own, of a started `serve`."""
    listen = (await process.logged("serving"))["listen"]
    async with grpc.aio.insecure_channel(listen) as channel, aiohttp.ClientSession() as http:
        yield Serving(process, listen, await stored_key(database_url), TENANT, channel, http)


async def stored_key(database_url: str) -> str:
    """Stores a key with all permissions in TENANT, also in the schema of the previous release."""
    key = ApiKey.generate()
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO api_keys (key_id, name, secret_digest, tenants, scopes) "
        "VALUES ($1, 'operator', $2, $3, $4)",
        key.key_id,
        key.secret_digest,
        [TENANT],
        sorted(ALL_SCOPES),
    )
    await connection.close()
    return key.text
