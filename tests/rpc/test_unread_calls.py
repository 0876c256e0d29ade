"""Calls without a message: they do not block other calls, and all of them are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest, GetUploadSessionResponse
from attachery_service.rpc.accept.concurrency_limit import LEAST
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

GET = "/attachery.v1.UploadSessionService/GetUploadSession"
HEALTH = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
SECONDS = 20.0


@pytest.fixture
async def service(make_service: MakeService) -> ServiceUnderTest:
    return await make_service(
        grpc_accept_prefetch=True, grpc_max_streams=10_000, metrics_listen="127.0.0.1:0"
    )


async def none() -> AsyncIterator[Any]:
    return
    yield


async def once(event: asyncio.Event, message: Any) -> AsyncIterator[Any]:
    await event.wait()
    yield message


async def until_not_overloaded(service: ServiceUnderTest, attachment_id: str) -> None:
    """Waits on the connection of earlier calls: the server has received those."""
    refused = True
    async with asyncio.timeout(SECONDS):
        while refused:
            refused = await is_refused(service, attachment_id)


async def is_refused(service: ServiceUnderTest, attachment_id: str) -> bool:
    try:
        await service.get(attachment_id)
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def test_calls_without_a_message_block_no_others_and_are_answered_when_it_arrives(
    service: ServiceUnderTest,
) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)
    get = service.channel.stream_unary(
        GET,
        request_serializer=GetUploadSessionRequest.SerializeToString,
        response_deserializer=GetUploadSessionResponse.FromString,
    )
    send = asyncio.Event()
    calls = [get(once(send, request), metadata=service.metadata) for _ in range(LEAST)]
    await until_not_overloaded(service, attachment_id)
    assert not any(call.done() for call in calls)
    send.set()
    assert {answer.session.attachment_id for answer in await asyncio.gather(*calls)} == {
        attachment_id
    }


async def test_a_call_whose_message_does_not_arrive_in_time_is_refused(
    make_service: MakeService,
) -> None:
    service = await make_service(
        grpc_accept_prefetch=True, max_call_time=0.2, metrics_listen="127.0.0.1:0"
    )
    call: Any = service.channel.stream_unary(GET)(once(asyncio.Event(), b""))
    async with asyncio.timeout(SECONDS):
        failed = await failure(call)
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
    )
    assert await refused_for_their_message(service) == 1


@pytest.mark.parametrize("method", [GET, HEALTH, WATCH])
async def test_a_call_that_ends_without_a_message_is_answered(
    service: ServiceUnderTest, method: str
) -> None:
    async with asyncio.timeout(SECONDS):
        failed = await failure(service.channel.stream_unary(method)(none()))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST",
    )
    assert await refused_for_their_message(service) == 1


async def test_a_call_that_its_caller_cancels_before_the_message_is_not_counted_as_refused(
    service: ServiceUnderTest,
) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    call: Any = service.channel.stream_unary(GET)(once(asyncio.Event(), b""))
    await until_not_overloaded(service, attachment_id)
    call.cancel()
    for _ in range(10):
        await service.get(attachment_id)
    assert await refused_for_their_message(service) == 0


async def refused_for_their_message(service: ServiceUnderTest) -> int:
    async with service.http.get(f"http://{service.app.metrics_listen}/metrics") as answer:
        [line] = [
            line
            for line in (await answer.text()).splitlines()
            if line.startswith('attachery_rpcs_shed_total{cause="message"}')
        ]
    return int(float(line.split()[-1]))
