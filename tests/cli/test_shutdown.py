"""Servers that stop and restart under load; `make test-shutdown` repeats each test 20 times."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from attachery.v1 import upload_sessions_pb2, upload_sessions_pb2_grpc
from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError
from support.certificates import Authority
from support.process_fixtures import ServeSettings, stored_key
from support.processes import Process, eventually, started
from support.service_fixtures import TENANT
from support.shutdown_load import CALLERS, Outcomes, RawCallers, raw_channel, reset_flood


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    count: int = request.config.getoption("--shutdown-rounds")
    return count


async def serving(process: Process) -> str:
    """The address, once all processes serve."""
    await eventually(lambda: process.has_ended or bool(process.events("serving")), within=60)
    return str((await process.logged("serving"))["listen"])


async def session_of(listen: str, api_key: str, roots: bytes | None = None) -> str:
    """Returns the id of a new session."""
    async with raw_channel(listen, roots) as channel:
        stub: Any = upload_sessions_pb2_grpc.UploadSessionServiceStub(channel)
        request = upload_sessions_pb2.StartUploadSessionRequest(
            tenant_id=TENANT, filename="a.txt", content_type="text/plain", size_bytes=1
        )
        metadata = (("authorization", f"Bearer {api_key}"),)
        found = await stub.StartUploadSession(request, metadata=metadata)
    return str(found.session.attachment_id)


class Case(NamedTuple):
    """A server under load; `flooded`: another client opens and resets streams meanwhile."""

    arguments: tuple[str, ...] = ("--processes", "2")
    settings: tuple[tuple[str, object], ...] = ()
    flooded: bool = False
    tls: bool = False


CASES = {
    "two processes": Case(),
    "one process": Case(arguments=()),
    "TLS": Case(arguments=(), tls=True),
    "the stock server": Case(settings=(("grpc_accept_prefetch", "false"),)),
    "a flood of resets": Case(flooded=True),
}


def new_certificate(folder: Path) -> tuple[ServeSettings, bytes]:
    """Settings for TLS, and the authority's certificate."""
    authority = Authority("ours")
    certificate, key = authority.issue("server").write(folder, "server")
    return {"tls_certificate": certificate, "tls_key": key}, authority.pem


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", CASES)
async def test_a_stop_under_load_cancels_no_call(
    serve_settings: ServeSettings,
    database_url: str,
    new_folder: Callable[[], Path],
    rounds: int,
    name: str,
) -> None:
    arguments, settings, flooded, tls = CASES[name]
    api_key, total = await stored_key(database_url), Outcomes()
    files, roots = new_certificate(new_folder()) if tls else ({}, None)
    for _ in range(rounds):
        with started(
            new_folder(),
            "serve",
            *arguments,
            settings={**serve_settings, **dict(settings), **files},
        ) as process:
            listen = await serving(process)
            callers = RawCallers(api_key, TENANT, await session_of(listen, api_key, roots))
            with reset_flood(listen) if flooded else nullcontext():
                async with callers.calling(listen, roots):
                    process.send(signal.SIGTERM)
                assert await process.ended() == 0
            total.update(callers.outcomes)
    print(f"\n{rounds} stops, {name}: {dict(total)}")
    assert total.wrong == {}
    assert total["UNAVAILABLE SHUTTING_DOWN"] > 0


class Instance:
    """One of several servers behind a client, which keeps its address over restarts."""

    def __init__(self, settings: ServeSettings, new_folder: Callable[[], Path]) -> None:
        self._settings = settings
        self._new_folder = new_folder
        self._running = ExitStack()
        self.listen = "127.0.0.1:0"

    async def start(self) -> None:
        settings = {**self._settings, "listen": self.listen}
        self._process = self._running.enter_context(
            started(self._new_folder(), "serve", settings=settings)
        )
        self.listen = await serving(self._process)

    async def stop(self) -> None:
        assert await self._process.stopped() == 0
        self._running.close()

    async def has_answered(self) -> None:
        """Waits until the client has connected to it."""
        await eventually(lambda: "GetUploadSession" in self._process.errors, within=30)

    def close(self) -> None:
        self._running.close()


@asynccontextmanager
async def steady_calls(client: AttacheryClient, attachment_id: str) -> AsyncIterator[Counter[str]]:
    """Many callers of one client, each calling again as soon as it is answered."""
    seen: Counter[str] = Counter()
    ended = asyncio.Event()

    async def call() -> None:
        while not ended.is_set():
            try:
                await client.get_upload_session(attachment_id, tenant_id=TENANT)
            except AttacheryError as error:
                seen[f"{type(error).__name__}: {error.message}"] += 1
            else:
                seen["OK"] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call())
        yield seen
        ended.set()


@pytest.mark.exhaustive
async def test_no_call_of_our_client_fails_while_servers_restart_one_by_one(
    serve_settings: ServeSettings, database_url: str, new_folder: Callable[[], Path], rounds: int
) -> None:
    api_key, restarts = await stored_key(database_url), max(rounds, 2)
    instances = [Instance(serve_settings, new_folder) for _ in range(2)]
    with ExitStack() as stack:
        for instance in instances:
            stack.callback(instance.close)
        await asyncio.gather(*(instance.start() for instance in instances))
        attachment_id = await session_of(instances[0].listen, api_key)
        target = "ipv4:" + ",".join(instance.listen for instance in instances)
        async with (
            AttacheryClient(target, api_key=api_key) as client,
            steady_calls(client, attachment_id) as seen,
        ):
            for restart in range(restarts):
                for instance in instances:
                    await instance.has_answered()
                await instances[restart % 2].stop()
                await instances[restart % 2].start()
        print(f"\n{restarts} restarts: {dict(seen)}")
        assert list(seen) == ["OK"]
