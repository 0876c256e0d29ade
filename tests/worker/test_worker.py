"""`attachery worker` in operation: several processes, killed at any step, without storage."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from attachery.v1 import resources_pb2 as pb
from support.process_fixtures import Dev, ServeSettings
from support.processes import Process, eventually, ran, started
from support.proxy import Proxy, proxy_of
from support.service_fixtures import ServiceUnderTest
from support.store_fixtures import StoreUnderTest
from support.sweep_fixtures import Sweeper

BODY = b"hello\n"
HOUR = timedelta(hours=1)
ALMOST = timedelta(minutes=59, seconds=10)
RETRY = timedelta(seconds=31)
READY = pb.UPLOAD_SESSION_STATE_READY

Condition = Callable[[], Awaitable[bool]]


class StartWorker(Protocol):
    """Starts `attachery worker` with the test's settings, and waits until it sweeps."""

    async def __call__(self, **settings: object) -> Process: ...


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
async def store_proxy(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def start_worker(
    serve_settings: ServeSettings,
    store_proxy: Proxy,
    new_folder: Callable[[], Path],
    processes: ExitStack,
) -> StartWorker:
    """Workers reach object storage through the proxy."""
    endpoint = store_proxy.in_front_of(str(serve_settings["s3_endpoint"]))
    usual = {**serve_settings, "s3_endpoint": endpoint, "s3_timeout": 60, "sweep_interval": 0.2}

    async def start(**settings: object) -> Process:
        chosen = {**usual, **settings}
        process = processes.enter_context(started(new_folder(), "worker", settings=chosen))
        await eventually(lambda: process.has_ended or process.events("sweeping") != [], within=60)
        assert not process.has_ended, process.errors
        return process

    return start


async def becomes_true(condition: Condition) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def uploaded(service: ServiceUnderTest, **fields: object) -> str:
    begun = await service.start(size_bytes=len(BODY), **fields)
    assert await service.send(begun.target, BODY) < 300
    attachment_id: str = begun.session.attachment_id
    return attachment_id


def all_events(service: ServiceUnderTest, attachment_id: str, *states: str) -> Condition:
    async def there_are() -> bool:
        return await service.events(attachment_id) == list(states)

    return there_are


def is_settled(service: ServiceUnderTest) -> Condition:
    """Whether storage is empty, nothing is reserved, and nothing is due."""

    async def settled() -> bool:
        due = "SELECT count(*) FROM upload_sessions WHERE due_time < now() + interval '20 min'"
        booked = "SELECT coalesce(sum(pending_sessions + stored_bytes), 0) FROM tenant_usage"
        return not (
            await service.keys_in_store()
            or await service.database.fetchval(due)
            or await service.database.fetchval(booked)
        )

    return settled


async def test_it_sweeps_says_so_and_counts(
    service: ServiceUnderTest, start_worker: StartWorker
) -> None:
    attachment_id = await uploaded(service)
    worker = await start_worker(worker_metrics_listen="127.0.0.1:0")
    await service.age(attachment_id, HOUR)
    await becomes_true(is_settled(service))
    listen = worker.events("sweeping")[0]["metrics"]
    async with service.http.get(f"http://{listen}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    found = {(s.name, s.labels.get("what")): s.value for f in families for s in f.samples}
    assert found["attachery_sweep_sessions_total", "expired"] == 1
    assert found["attachery_sweep_sessions_total", "failed_deletes"] == 0
    assert found["attachery_sweep_round_seconds_count", None] > 0
    assert found["attachery_sweep_last_success_timestamp_seconds", None] > 0
    assert ("attachery_sweep_lag_seconds", None) in found
    assert await worker.stopped() == 0
    assert [line["event"] for line in worker.log()] == ["sweeping", "draining"]


@asynccontextmanager
async def held_while_claiming(service: ServiceUnderTest, store: Proxy) -> AsyncIterator[None]:
    """The claiming statement waits for the tenant's counters, and continues without a worker."""
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM tenant_usage FOR UPDATE")
        yield


@asynccontextmanager
async def held_while_deleting(service: ServiceUnderTest, store: Proxy) -> AsyncIterator[None]:
    """Object storage has processed the request, and the worker does not get the response."""
    store.hold()
    yield
    store.release()


@pytest.mark.parametrize("step", ["claiming", "deleting", "confirming", "completing"])
async def test_killed_at_any_step_another_one_takes_over(
    service: ServiceUnderTest,
    sweeper: Sweeper,
    start_worker: StartWorker,
    store_proxy: Proxy,
    step: str,
) -> None:
    attachment_id = await uploaded(service, auto_complete=step == "completing")
    worker = await start_worker()
    await _kill_at(step, service, worker, store_proxy, attachment_id)
    for _ in range(2):
        await service.database.execute(
            "UPDATE upload_sessions SET due_time = due_time - $1::interval", RETRY
        )
        await sweeper()
    if step == "completing":
        assert await service.events(attachment_id) == ["pending", "ready"]
        assert (await service.get(attachment_id)).state == READY
    else:
        assert await service.events(attachment_id) == ["pending", "expired"]
        assert await is_settled(service)()


async def _kill_at(
    step: str, service: ServiceUnderTest, worker: Process, store: Proxy, attachment_id: str
) -> None:
    if step == "claiming":
        async with held_while_claiming(service, store):
            await service.age(attachment_id, HOUR)
            await becomes_true(lambda: _is_blocked(service))
            await _killed(worker)
        return
    async with held_while_deleting(service, store):
        await service.age(attachment_id, HOUR if step != "completing" else ALMOST)
        async with asyncio.timeout(30):
            await store.held.wait()
        if step != "confirming":
            await _killed(worker)
            return
        async with service.row_locked(attachment_id):
            store.release()
            await becomes_true(lambda: _is_blocked(service))
            await _killed(worker)


async def _killed(worker: Process) -> None:
    worker.send(signal.SIGKILL)
    await worker.ended()


async def _is_blocked(service: ServiceUnderTest) -> bool:
    waiting = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'attachery'"
        " AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    blocked: bool = await service.database.fetchval(waiting)
    return blocked


async def test_two_workers_share_the_work_without_repeats(
    service: ServiceUnderTest, start_worker: StartWorker
) -> None:
    ids = [await uploaded(service) for _ in range(12)]
    await asyncio.gather(*(start_worker(sweep_batch=2) for _ in range(2)))
    await asyncio.gather(*(service.age(attachment_id, HOUR) for attachment_id in ids))
    await becomes_true(is_settled(service))
    for attachment_id in ids:
        assert await service.events(attachment_id) == ["pending", "expired"]


async def test_unavailable_storage_delays_only_deletions(
    service: ServiceUnderTest,
    start_worker: StartWorker,
    store_proxy: Proxy,
) -> None:
    first, second = await uploaded(service), await uploaded(service)
    worker = await start_worker(sweep_batch=1)
    store_proxy.cut()
    for attachment_id in (first, second):
        await service.age(attachment_id, HOUR)
    for attachment_id in (first, second):
        await becomes_true(all_events(service, attachment_id, "pending", "expired"))
    assert (await worker.logged("put off"))["reasons"] == {"STORAGE_UNAVAILABLE": 1}
    store_proxy.release()
    for attachment_id in (first, second):
        await service.age(attachment_id, RETRY)
    await becomes_true(is_settled(service))
    assert await worker.stopped() == 0


async def test_without_its_database_it_keeps_trying_and_says_so_once(
    service: ServiceUnderTest, start_worker: StartWorker, database_url: str
) -> None:
    attachment_id = await uploaded(service)
    async with proxy_of(database_url) as proxy:
        worker = await start_worker(database_url=proxy.in_front_of(database_url))
        proxy.cut()
        failing = await worker.logged("failing")
        assert (failing["work"], failing["reason"]) == ("sweep", "DATABASE_UNAVAILABLE")
        await service.age(attachment_id, HOUR)
        proxy.release()
        await worker.logged("recovered")
        await becomes_true(is_settled(service))
        assert len(worker.events("failing")) == len(worker.events("recovered"))
        assert await worker.stopped() == 0


async def test_a_stopping_worker_finishes_its_batch(
    service: ServiceUnderTest,
    start_worker: StartWorker,
    store_proxy: Proxy,
) -> None:
    attachment_id = await uploaded(service)
    worker = await start_worker()
    store_proxy.hold()
    await service.age(attachment_id, HOUR)
    async with asyncio.timeout(30):
        await store_proxy.held.wait()
    worker.send(signal.SIGTERM)
    await worker.logged("draining")
    assert not worker.has_ended
    store_proxy.release()
    assert await worker.ended() == 0
    assert await is_settled(service)()


async def test_a_store_that_hangs_holds_up_the_end_no_longer_than_the_drain(
    service: ServiceUnderTest,
    start_worker: StartWorker,
    store_proxy: Proxy,
) -> None:
    attachment_id = await uploaded(service)
    worker = await start_worker(drain_time=0.2)
    store_proxy.hold()
    await service.age(attachment_id, HOUR)
    async with asyncio.timeout(30):
        await store_proxy.held.wait()
    assert await worker.stopped() == 0
    assert worker.events("work left undone")


async def test_a_wrong_setting_or_an_old_schema_is_one_line(
    serve_settings: ServeSettings, new_folder: Callable[[], Path], empty_database_url: str
) -> None:
    done = await ran(new_folder(), "worker", settings={**serve_settings, "sweep_batch": 0})
    assert "ATTACHERY_SWEEP_BATCH" in done.refused_with(2)
    settings = {**serve_settings, "database_url": empty_database_url}
    done = await ran(new_folder(), "worker", settings=settings)
    assert "attachery migrate" in done.refused_with(1)


async def test_dev_sweeps_too(dev: Dev) -> None:
    async def has_swept() -> bool:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{dev.ready['metrics']}/metrics") as answer,
        ):
            return "attachery_sweep_round_seconds_count 0.0" not in await answer.text()

    await eventually(lambda: not dev.process.has_ended)
    await becomes_true(has_swept)
