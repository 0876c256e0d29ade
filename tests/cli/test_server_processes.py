"""`attachery serve --processes N`: one port, one start and stop, one set of metrics."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from attachery.v1 import upload_sessions_pb2, upload_sessions_pb2_grpc
from attachery_service.cli.ports import reserved_port
from cli.test_stopping import READY, held_complete, refusing
from support.process_fixtures import ServeSettings, Serving, stored_key
from support.processes import Process, eventually, family, is_alive, started
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT
from support.store_fixtures import StoreUnderTest

START = "/attachery.v1.UploadSessionService/StartUploadSession"
NEVER = 100
# The kernel gives each connection to one process; all of them to the same one is most unlikely.
CONNECTIONS = 16


@contextmanager
def serving_workers(
    folder: Path,
    settings: ServeSettings,
    count: int = 2,
    program: Sequence[str] = ("-m", "attachery_service"),
) -> Iterator[Process]:
    """A supervisor, killed at the end together with its processes."""
    arguments = ("serve", "--processes", str(count))
    with started(folder, *arguments, settings=settings, program=program) as process:
        try:
            yield process
        finally:
            left = family(process.pid)
            process.popen.kill()
            for pid in left:
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def settings(serve_settings: ServeSettings) -> ServeSettings:
    return {**serve_settings, "metrics_listen": "127.0.0.1:0"}


async def serving_told(process: Process) -> dict[str, Any]:
    """Returns the output once all processes serve, which start one after the other."""
    await eventually(lambda: process.has_ended or bool(process.events("serving")), within=60)
    return await process.logged("serving")


async def start_once(listen: str, api_key: str) -> None:
    """Starts a session on a new connection; retries while a process is being replaced."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(listen, options=options) as channel:
        stub: Any = upload_sessions_pb2_grpc.UploadSessionServiceStub(channel)
        request = upload_sessions_pb2.StartUploadSessionRequest(
            tenant_id=TENANT, filename="a.txt", content_type="text/plain", size_bytes=1
        )
        metadata = (("authorization", f"Bearer {api_key}"),)
        await stub.StartUploadSession(request, metadata=metadata, wait_for_ready=True, timeout=30)


async def start_many(listen: str, api_key: str) -> None:
    await asyncio.gather(*(start_once(listen, api_key) for _ in range(CONNECTIONS)))


async def scrape(metrics: str) -> dict[str, float]:
    async with aiohttp.ClientSession() as http, http.get(f"http://{metrics}/metrics") as answer:
        text = await answer.text()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels in ({}, {"method": START, "code": "OK", "reason": ""})
    }


async def test_workers_share_a_port_and_their_figures_are_added_up(
    tmp_path: Path, settings: ServeSettings, database_url: str
) -> None:
    with serving_workers(tmp_path, settings) as process:
        told = await serving_told(process)
        assert told["processes"] == 2
        assert len(family(process.pid)) == 2
        await start_many(told["listen"], await stored_key(database_url))
        found = await scrape(told["metrics"])
        assert found["attachery_rpcs_total"] == CONNECTIONS
        assert found["attachery_rpcs_in_flight"] == 0
        for name in ("attachery_server_processes", "attachery_workers"):
            assert found[name] == found[f"{name}_wanted"] == 2
        assert await process.stopped() == 0
        assert len(process.events("serving")) == 1


@pytest.mark.exhaustive
async def test_settings_in_lower_case_are_the_supervisors_own_too(
    tmp_path: Path, settings: ServeSettings
) -> None:
    """Its processes would not start on a metrics address that it has taken."""
    with reserved_port("127.0.0.1:0") as metrics:
        pass
    others = {name: settings[name] for name in settings if not name.endswith("listen")}
    lower = {"attachery_listen": "127.0.0.1:0", "attachery_metrics_listen": metrics}
    with serving_workers(tmp_path, {**others, **lower}) as process:
        assert (await serving_told(process))["metrics"] == metrics
        assert (await scrape(metrics))["attachery_server_processes"] == 2
        assert await process.stopped() == 0


@pytest.mark.exhaustive
async def test_the_former_flag_stays_valid_with_a_warning(
    tmp_path: Path, settings: ServeSettings
) -> None:
    arguments = ("serve", "--workers", "1")
    with started(tmp_path, *arguments, settings=settings) as process:
        await process.logged("serving")
        (warning,) = process.events("flag renamed")
        assert (warning["former"], warning["current"]) == ("--workers", "--processes")
        assert await process.stopped() == 0


async def test_a_killed_process_is_replaced_and_its_counters_remain(
    tmp_path: Path, settings: ServeSettings, database_url: str
) -> None:
    with serving_workers(tmp_path, settings) as process:
        told = await serving_told(process)
        api_key = await stored_key(database_url)
        await start_many(told["listen"], api_key)
        before = family(process.pid)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        assert (await process.logged("server process ended"))["exit_code"] == -signal.SIGKILL
        await start_many(told["listen"], api_key)
        await eventually(lambda: len(family(process.pid)) == 2, within=30)
        assert killed not in family(process.pid)
        async with asyncio.timeout(60):
            while (found := await scrape(told["metrics"]))["attachery_server_processes"] != 2:
                pass
        assert found["attachery_server_process_restarts_total"] == 1
        assert found["attachery_worker_restarts_total"] == 1
        assert found["attachery_rpcs_total"] == 2 * CONNECTIONS
        assert await process.stopped() == 0


@pytest.fixture
async def slow_store(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def behind_slow_store(
    settings: ServeSettings, slow_store: Proxy, object_store: StoreUnderTest
) -> ServeSettings:
    return {
        **settings,
        "s3_endpoint": slow_store.in_front_of(object_store.endpoint),
        "s3_public_endpoint": object_store.endpoint,
        "s3_timeout": NEVER,
        "drain_time": NEVER,
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.sample(1)
async def test_calls_at_work_finish_in_all_of_them(
    tmp_path: Path,
    behind_slow_store: ServeSettings,
    slow_store: Proxy,
    database_url: str,
    number: signal.Signals,
) -> None:
    with serving_workers(tmp_path, behind_slow_store) as process:
        listen = (await serving_told(process))["listen"]
        api_key = await stored_key(database_url)
        workers = family(process.pid)
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with aiohttp.ClientSession() as http:
            channels = [grpc.aio.insecure_channel(listen, options=options) for _ in range(8)]
            callers = [Serving(process, listen, api_key, TENANT, c, http) for c in channels]
            uploaded = [await caller.uploaded() for caller in callers]
            calls = [
                await held_complete(caller, slow_store, attachment_id)
                for caller, attachment_id in zip(callers, uploaded, strict=True)
            ]
            process.send(number)
            await refusing(listen)
            assert not any(call.done() for call in calls)
            slow_store.release()
            for call in calls:
                assert (await call).session.state == READY
            assert await process.ended() == 0
            for channel in channels:
                await channel.close()
        assert not any(is_alive(pid) for pid in workers)


@pytest.mark.exhaustive
async def test_no_worker_outlives_a_supervisor_that_was_killed(
    tmp_path: Path, settings: ServeSettings
) -> None:
    with serving_workers(tmp_path, settings) as process:
        await serving_told(process)
        workers = family(process.pid)
        assert len(workers) == 2
        process.send(signal.SIGKILL)
        await process.ended()
        await eventually(lambda: not any(is_alive(pid) for pid in workers))


@pytest.mark.exhaustive
async def test_a_signal_to_all_of_them_is_no_second_one(
    tmp_path: Path, settings: ServeSettings
) -> None:
    with serving_workers(tmp_path, settings) as process:
        await serving_told(process)
        workers = family(process.pid)
        for pid in (*workers, process.pid):  # as service managers do
            os.kill(pid, signal.SIGTERM)
        assert await process.ended() == 0
        assert not any(is_alive(pid) for pid in workers)
        assert process.errors.count('"server process ended"') <= len(workers)


@pytest.mark.exhaustive
async def test_a_port_in_use_is_refused_even_if_it_could_be_shared(
    tmp_path: Path, settings: ServeSettings, new_folder: Callable[[], Path]
) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with serving_workers(new_folder(), {**settings, "listen": listen}) as process:
            assert await process.ended() == 1
            assert process.errors.splitlines() == [
                f"attachery: cannot listen on {listen}: Address already in use"
            ]


@pytest.mark.exhaustive
async def test_workers_that_cannot_start_end_it_all(
    tmp_path: Path, settings: ServeSettings
) -> None:
    nowhere = "postgresql://u:p@127.0.0.1:1/n"
    with serving_workers(tmp_path, {**settings, "database_url": nowhere}) as process:
        assert await process.ended() == 1
        last = process.errors.splitlines()[-1]
        assert last == "attachery: a server process ended with exit code 1 before it served"
        assert family(process.pid) == set()
