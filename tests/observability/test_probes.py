"""The responses of `/healthz` and `/readyz` on the metrics port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from pydantic import SecretStr

from attachery_service.observability import http_endpoint as metrics
from attachery_service.observability.http_endpoint import loop_reacts, serve_metrics
from attachery_service.observability.logs import configure_logs
from cli.test_server_processes import serving_told, serving_workers, start_many
from support.process_fixtures import ServeSettings, stored_key
from support.processes import Process, eventually, family, started
from support.proxy import Proxy, proxy_of
from support.service_fixtures import MakeService

LONG = 100

# The supervisor with shorter time limits; its processes report once a second all the same.
IMPATIENT = """
import sys
from attachery_service.cli import server_process, supervisor
supervisor._CHECK_SECONDS, server_process._HUNG_GRACE = 1.5, 0.1
from attachery_service.__main__ import main
sys.exit(main())
"""


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(database_url) as proxy:
        yield proxy


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def status(listen: str | None, path: str, method: str = "GET") -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"http://{listen}{path}") as answer,
    ):
        return answer.status


async def becomes(listen: str | None, path: str, expected: int) -> None:
    async with asyncio.timeout(60):
        while await status(listen, path) != expected:
            pass


async def test_a_service_is_ready_while_its_database_answers_and_alive_in_any_case(
    make_service: MakeService, database_url: str, database_proxy: Proxy
) -> None:
    service = await make_service(
        database_url=SecretStr(database_proxy.in_front_of(database_url)),
        metrics_listen="127.0.0.1:0",
        health_interval=0.05,
    )
    listen = service.app.metrics_listen
    assert [await status(listen, path) for path in ("/healthz", "/readyz")] == [200, 200]
    database_proxy.cut()
    await becomes(listen, "/readyz", 503)
    assert await status(listen, "/healthz") == 200
    database_proxy.release()
    await becomes(listen, "/readyz", 200)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_every_other_path_and_method_is_refused(make_service: MakeService, host: str) -> None:
    if host == "[::1]" and not has_ipv6():
        pytest.skip("no IPv6 here")
    listen = (await make_service(metrics_listen=f"{host}:0")).app.metrics_listen
    for path in ("/", "/metrics/", "/metrics/x", "/healthz/", "/readyz2", "/favicon.ico"):
        assert await status(listen, path) == 404, path
    for path in ("/metrics", "/healthz", "/readyz"):
        assert await status(listen, path, "POST") == 405
        assert await status(listen, path, "HEAD") == 200
        assert await status(listen, f"{path}?a=b") == 200


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_an_event_loop_that_does_not_react_is_not_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    is_alive = loop_reacts(loop)
    assert await asyncio.to_thread(is_alive)
    monkeypatch.setattr(metrics, "_LOOP_SECONDS", 0.05)
    probing = loop.run_in_executor(None, is_alive)
    time.sleep(0.5)  # noqa: ASYNC251 - this is what makes the loop hang
    assert not await probing
    closed = asyncio.new_event_loop()
    closed.close()
    assert not loop_reacts(closed)()


async def first_bytes(listen: str | None) -> bytes:
    """Returns the response to a client that sends nothing."""
    host, _, port = str(listen).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_client_that_sends_nothing_is_disconnected_and_not_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics._Handler, "timeout", 0.05)
    with serve_metrics(CollectorRegistry(), "127.0.0.1:0", lambda: True) as listen:
        assert await first_bytes(listen) == b""
        assert await status(listen, "/readyz") == 200
    assert capsys.readouterr().err == ""


async def test_a_bug_of_the_endpoint_is_one_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise LookupError("in a collector")

    class Failing(metrics._Handler):
        def handle(self) -> None:
            raise LookupError("in the handler")

    configure_logs()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Broken())
    with serve_metrics(registry, "127.0.0.1:0", lambda: True) as listen:
        assert await status(listen, "/metrics") == 500
    monkeypatch.setattr(metrics, "_Handler", Failing)
    with serve_metrics(CollectorRegistry(), "127.0.0.1:0", lambda: True) as listen:
        assert await first_bytes(listen) == b""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    events = [line["event"] for line in lines]
    assert events == ["metrics failed", "metrics connection failed"]
    assert all("LookupError" in line["exception"] for line in lines)


async def test_a_server_that_drains_is_alive_and_not_ready(
    serve_settings: ServeSettings, processes: ExitStack, tmp_path: Path
) -> None:
    settings = {**serve_settings, "metrics_listen": "127.0.0.1:0", "drain_delay": LONG}
    process = processes.enter_context(started(tmp_path, "serve", settings=settings))
    listen = (await process.logged("serving"))["metrics"]
    assert await status(listen, "/readyz") == 200
    process.send(signal.SIGTERM)
    await process.logged("draining")
    await becomes(listen, "/readyz", 503)
    assert await status(listen, "/healthz") == 200
    process.send(signal.SIGTERM)
    await process.ended()


@pytest.mark.exhaustive
async def test_many_processes_are_ready_while_one_of_them_is(
    serve_settings: ServeSettings, tmp_path: Path, database_url: str, database_proxy: Proxy
) -> None:
    settings = {
        **serve_settings,
        "database_url": database_proxy.in_front_of(database_url),
        "metrics_listen": "127.0.0.1:0",
        "health_interval": 0.05,
    }
    with serving_workers(tmp_path, settings) as process:
        listen = (await serving_told(process))["metrics"]
        assert [await status(listen, path) for path in ("/healthz", "/readyz")] == [200, 200]
        assert await status(listen, "/") == 404
        database_proxy.cut()
        await becomes(listen, "/readyz", 503)
        assert await status(listen, "/healthz") == 200
        database_proxy.release()
        await becomes(listen, "/readyz", 200)
        assert await process.stopped() == 0


@pytest.mark.exhaustive
async def test_processes_that_hang_are_discounted_and_replaced(
    tmp_path: Path, serve_settings: ServeSettings, database_url: str
) -> None:
    settings = {**serve_settings, "metrics_listen": "127.0.0.1:0"}
    with serving_workers(tmp_path, settings, program=("-c", IMPATIENT)) as process:
        told = await serving_told(process)
        hung = family(process.pid)
        assert len(hung) == 2
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        await becomes(told["metrics"], "/readyz", 503)
        assert await status(told["metrics"], "/healthz") == 200  # the supervisor is replacing it
        await becomes(told["metrics"], "/readyz", 200)
        await eventually(lambda: not hung & family(process.pid), within=30)
        await eventually(lambda: len(family(process.pid)) == 2, within=30)
        logged = [line["pid"] for line in process.events("server process hung")]
        assert [logged.count(pid) for pid in hung] == [1, 1]
        await start_many(told["listen"], await stored_key(database_url))
        assert await process.stopped() == 0


@pytest.mark.exhaustive
async def test_processes_that_drain_by_themselves_report_it(
    tmp_path: Path, serve_settings: ServeSettings
) -> None:
    draining = {**serve_settings, "metrics_listen": "127.0.0.1:0", "drain_delay": LONG}
    with serving_workers(tmp_path, draining) as process:
        metrics = (await serving_told(process))["metrics"]
        for pid in family(process.pid):
            os.kill(pid, signal.SIGTERM)
        await becomes(metrics, "/readyz", 503)
        assert process.events("server process ended") == []


@pytest.mark.exhaustive
async def test_serve_and_worker_share_one_environment(
    serve_settings: ServeSettings,
    processes: ExitStack,
    new_folder: Callable[[], Path],
    database_url: str,
    database_proxy: Proxy,
) -> None:
    """On one host, each listens on addresses of its own, and accepts the other's settings."""
    one, other, notifications = (f"127.0.0.1:{port}" for port in free_ports(3))
    settings = {
        **serve_settings,
        "database_url": database_proxy.in_front_of(database_url),
        "metrics_listen": one,
        "worker_metrics_listen": other,
        "notifications_listen": notifications,
        "health_interval": 0.05,
    }

    def start(command: str) -> Process:
        return processes.enter_context(started(new_folder(), command, settings=settings))

    serve, worker = start("serve"), start("worker")
    assert (await serve.logged("serving"))["metrics"] == one
    assert (await worker.logged("sweeping"))["metrics"] == other
    for listen in (one, other):
        assert [await status(listen, path) for path in ("/healthz", "/readyz")] == [200, 200]
    database_proxy.cut()
    for listen in (one, other):
        await becomes(listen, "/readyz", 503)
        assert await status(listen, "/healthz") == 200
    database_proxy.release()
    for listen in (one, other):
        await becomes(listen, "/readyz", 200)
    assert await serve.stopped() == 0
    assert await worker.stopped() == 0


async def test_a_worker_does_not_take_the_address_of_serve(
    serve_settings: ServeSettings, processes: ExitStack, tmp_path: Path
) -> None:
    settings = {**serve_settings, "metrics_listen": "127.0.0.1:1"}
    worker = processes.enter_context(started(tmp_path, "worker", settings=settings))
    assert (await worker.logged("sweeping"))["metrics"] is None
    await eventually(lambda: not worker.has_ended)
    assert await worker.stopped() == 0


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
