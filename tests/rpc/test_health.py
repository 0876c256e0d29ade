"""Health: the responses to load balancers and probes, and their updates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from pydantic import SecretStr

from support.failures import failure
from support.proxy import Proxy, proxy_of
from support.service_fixtures import MakeService, ServiceUnderTest

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN

READINESS = (
    "",
    "attachery.v1.UploadSessionService",
    "attachery.v1.AttachmentService",
    "attachery.v1.AdminService",
    "attachery.v1.AccessService",
)
SECONDS = 10.0


class Watch:
    """A client that watches a name."""

    def __init__(self, service: ServiceUnderTest, name: str) -> None:
        self._call = health(service).Watch(pb.HealthCheckRequest(service=name))

    async def next(self) -> int | None:
        """Returns the next status; None at the orderly end of the stream."""
        async with asyncio.timeout(SECONDS):
            answer = await self._call.read()
        return None if answer is grpc.aio.EOF else answer.status

    async def is_silent(self) -> bool:
        """Whether no status arrives while the server answers another call."""
        reading = asyncio.ensure_future(self._call.read())
        await asyncio.sleep(0)
        return not reading.done() and not self._call.done()

    def leave(self) -> None:
        self._call.cancel()


def health(service: ServiceUnderTest) -> Any:
    return health_pb2_grpc.HealthStub(service.channel)


async def check(service: ServiceUnderTest, name: str = "") -> int:
    status: int = (await health(service).Check(pb.HealthCheckRequest(service=name))).status
    return status


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(database_url) as proxy:
        yield proxy


@pytest.fixture
async def behind_proxy(
    make_service: MakeService, database_url: str, database_proxy: Proxy
) -> ServiceUnderTest:
    return await make_service(
        database_url=SecretStr(database_proxy.in_front_of(database_url)),
        database_timeout=0.3,
        health_interval=0.05,
    )


async def test_every_name_is_serving_and_needs_no_credential(service: ServiceUnderTest) -> None:
    for name in (*READINESS, "liveness"):
        assert await check(service, name) == SERVING
        assert await Watch(service, name).next() == SERVING


async def test_list_returns_all_names(service: ServiceUnderTest) -> None:
    answer = await health(service).List(pb.HealthListRequest())
    assert {name: found.status for name, found in answer.statuses.items()} == dict.fromkeys(
        (*READINESS, "liveness"), SERVING
    )


async def test_check_refuses_an_unknown_name(service: ServiceUnderTest) -> None:
    for name in ("attachery.v1.Nothing", "Liveness", " ", "x" * 5000):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(service, name)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watch_reports_an_unknown_name_and_stays_open(service: ServiceUnderTest) -> None:
    watch = Watch(service, "attachery.v1.Nothing")
    assert await watch.next() == UNKNOWN
    await check(service)
    assert await watch.is_silent()


async def test_a_watcher_still_hears_of_changes_after_another_one_left(
    behind_proxy: ServiceUnderTest, database_proxy: Proxy
) -> None:
    leaving, staying = Watch(behind_proxy, ""), Watch(behind_proxy, "")
    assert (await leaving.next(), await staying.next()) == (SERVING, SERVING)
    leaving.leave()
    database_proxy.cut()
    assert await staying.next() == NOT_SERVING


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.hold])
async def test_readiness_follows_the_database_and_liveness_does_not(
    behind_proxy: ServiceUnderTest, database_proxy: Proxy, fault: Any
) -> None:
    watches = [Watch(behind_proxy, name) for name in READINESS]
    alive = Watch(behind_proxy, "liveness")
    assert [await watch.next() for watch in watches] == [SERVING] * len(READINESS)
    assert await alive.next() == SERVING
    fault(database_proxy)
    assert [await watch.next() for watch in watches] == [NOT_SERVING] * len(READINESS)
    assert await check(behind_proxy) == NOT_SERVING
    assert await check(behind_proxy, "liveness") == SERVING
    refused = await failure(behind_proxy.start(size_bytes=1))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
    )
    database_proxy.release()
    assert [await watch.next() for watch in watches] == [SERVING] * len(READINESS)
    assert await alive.is_silent()
    assert (await behind_proxy.start(size_bytes=1)).session.attachment_id


async def test_readiness_comes_back_after_a_fault_of_another_kind_than_a_lost_connection(
    behind_proxy: ServiceUnderTest, postgres_url: str
) -> None:
    watch = Watch(behind_proxy, "")
    assert await watch.next() == SERVING
    name = behind_proxy.settings.database_url.get_secret_value().rpartition("/")[2]
    operator = await asyncpg.connect(postgres_url)
    await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await operator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )
    assert await watch.next() == NOT_SERVING
    await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await operator.close()
    assert await watch.next() == SERVING
