"""The Prometheus endpoint: calls by method, code and reason, without labels from callers."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client.parser import text_string_to_metric_families

from support.failures import failure
from support.service_fixtures import MakeService, ServiceUnderTest

START = "/attachery.v1.UploadSessionService/StartUploadSession"
GET = "/attachery.v1.UploadSessionService/GetUploadSession"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
SECONDS = 10.0
TIMES = "attachery_rpc_seconds_count"
Sample = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture
async def service(make_service: MakeService) -> ServiceUnderTest:
    return await make_service(metrics_listen="127.0.0.1:0")


async def scrape(service: ServiceUnderTest) -> dict[Sample, float]:
    async with service.http.get(f"http://{service.app.metrics_listen}/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        text = await answer.text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def calls(method: str, code: str, reason: str = "") -> Sample:
    labels = {"method": method, "code": code, "reason": reason}
    return ("attachery_rpcs_total", tuple(sorted(labels.items())))


async def test_calls_are_counted_by_method_code_and_reason(service: ServiceUnderTest) -> None:
    for _ in range(3):
        await service.start(size_bytes=1)
    await failure(service.start(size_bytes=0))
    await failure(service.get(str(uuid.uuid4())))
    found = await scrape(service)
    assert found[calls(START, "OK")] == 3
    assert found[calls(START, "INVALID_ARGUMENT", "SIZE_OUT_OF_RANGE")] == 1
    assert found[calls(GET, "NOT_FOUND", "ATTACHMENT_NOT_FOUND")] == 1
    assert found["attachery_rpc_seconds_count", (("method", START),)] == 4
    assert found["attachery_rpcs_in_flight", ()] == 0
    assert found["process_resident_memory_bytes", ()] > 0


async def test_health_and_reflection_are_counted_and_their_streams_not_timed(
    service: ServiceUnderTest,
) -> None:
    health, request = HealthStub(service.channel), HealthCheckRequest()
    await health.Check(request)
    with pytest.raises(grpc.aio.AioRpcError, match="no such service"):
        await health.Check(HealthCheckRequest(service="x"))
    watch = health.Watch(request)
    await watch.read()
    assert calls(WATCH, "CANCELLED") not in await scrape(service)
    watch.cancel()
    reflection: Any = service.channel.stream_stream(REFLECTION)()
    await reflection.done_writing()
    assert await reflection.read() is grpc.aio.EOF
    assert "x-request-id" in dict(await reflection.trailing_metadata())
    async with asyncio.timeout(SECONDS):
        while calls(WATCH, "CANCELLED") not in (found := await scrape(service)):
            pass
    assert (found[calls(CHECK, "OK")], found[calls(CHECK, "NOT_FOUND")]) == (1, 1)
    assert found[calls(WATCH, "CANCELLED")] == found[calls(REFLECTION, "OK")] == 1
    assert found["attachery_rpc_seconds_count", (("method", CHECK),)] == 2
    timed = {dict(labels)["method"] for name, labels in found if name == TIMES}
    assert timed.isdisjoint({WATCH, REFLECTION})


async def test_callers_cannot_create_series(service: ServiceUnderTest) -> None:
    async def call(method: str) -> None:
        unary: Any = service.channel.unary_unary(method)
        metadata = (("x-request-id", uuid.uuid4().hex), *service.metadata)
        refused = await failure(unary(b"", metadata=metadata))
        assert refused.code is grpc.StatusCode.UNIMPLEMENTED
        assert refused.reason == "UNKNOWN_METHOD"

    await call("/nobody.knows/This")
    before = await scrape(service)
    for number in range(20):
        await call(f"/made.up{number}/Method")
        await call(f"/attachery.v1.UploadSessionService/Method{number}")
    after = await scrape(service)
    assert after.keys() == before.keys()
    assert after[calls("unknown", "UNIMPLEMENTED", "UNKNOWN_METHOD")] == 41


async def test_without_the_setting_there_is_no_endpoint(make_service: MakeService) -> None:
    assert (await make_service()).app.metrics_listen is None
