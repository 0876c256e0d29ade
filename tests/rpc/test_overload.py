"""Overload: calls that the server cannot answer in time are refused at once, and retried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc._cython import cygrpc  # type: ignore[attr-defined]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest
from attachery.v1.upload_sessions_pb2_grpc import UploadSessionServiceStub
from attachery_client import AttacheryClient
from attachery_service.rpc.accept import prefetching_server as accepting
from attachery_service.rpc.accept.concurrency_limit import LEAST
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

SERVING = health_pb2.HealthCheckResponse.SERVING
SECONDS = 20.0
DETAILS = "grpc-status-details-bin"
# All calls of a test share a connection.
SETTINGS: dict[str, Any] = {
    "database_timeout": SECONDS,
    "grpc_max_streams": 10_000,
    "metrics_listen": "127.0.0.1:0",
}


@pytest.fixture(params=[True, False], ids=["ahead", "stock"])
async def service(make_service: MakeService, request: pytest.FixtureRequest) -> ServiceUnderTest:
    return await make_service(**SETTINGS, grpc_accept_prefetch=request.param)


@asynccontextmanager
async def database_blocked(service: ServiceUnderTest) -> AsyncIterator[None]:
    """Holds up every statement on upload sessions."""
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE upload_sessions IN ACCESS EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def overloaded(
    service: ServiceUnderTest, attachment_id: str, excess: int = 10
) -> AsyncIterator[tuple[list[Failure], list[asyncio.Task[Any]]]]:
    """Yields the refusals of `excess` calls, and the calls that wait for the database."""
    async with database_blocked(service):
        calls = [asyncio.create_task(service.get(attachment_id)) for _ in range(LEAST + excess)]
        refused = await first_done(calls, excess)
        waiting = [call for call in calls if call not in refused]
        yield [await failure(call) for call in refused], waiting


async def first_done(calls: list[asyncio.Task[Any]], count: int) -> set[asyncio.Task[Any]]:
    done: set[asyncio.Task[Any]] = set()
    async with asyncio.timeout(SECONDS):
        while len(done) < count:
            rest = [call for call in calls if call not in done]
            done |= (await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED))[0]
    return done


async def shed(service: ServiceUnderTest, cause: str) -> float:
    """The number of calls refused for this cause, by the metric."""
    async with service.http.get(f"http://{service.app.metrics_listen}/metrics") as answer:
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "attachery_rpcs_shed_total" and sample.labels == {"cause": cause}
    )


async def shed_above(service: ServiceUnderTest, cause: str, count: float) -> None:
    async with asyncio.timeout(SECONDS):
        while await shed(service, cause) <= count:
            pass


async def test_calls_above_the_limit_are_refused_and_the_others_answered(
    service: ServiceUnderTest,
) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with overloaded(service, attachment_id) as (refused, waiting):
        assert len(refused) == 10
        assert not any(call.done() for call in waiting)
        assert {(one.code, one.reason) for one in refused} == {
            (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
        }
        assert {one.facts["httpStatus"] for one in refused} == {"503"}
        assert await shed(service, "concurrency") == 10
    answers = await asyncio.gather(*waiting)
    assert {answer.attachment_id for answer in answers} == {attachment_id}
    assert (await service.get(attachment_id)).attachment_id == attachment_id


async def test_refusals_leave_no_line_each_in_the_log(
    service: ServiceUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with overloaded(service, attachment_id):
        pass
    assert "OVERLOADED" not in capsys.readouterr().err


async def test_a_refusal_says_when_to_retry_and_repeats_the_request_id(
    service: ServiceUnderTest,
) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    service.metadata = (*service.metadata, ("x-request-id", "order-4711"))
    async with overloaded(service, attachment_id, excess=1) as ([refused], _):
        assert refused.kinds == ["ErrorInfo", "RetryInfo", "RequestInfo"]
        assert refused.request_id == "order-4711"
        retry = error_details_pb2.RetryInfo()
        assert refused.status.details[2].Unpack(retry)
        assert refused.help.links
        assert refused.trailers["x-attempt"] == "1"
        pushback = refused.trailers["grpc-retry-pushback-ms"]
        assert retry.retry_delay.ToMilliseconds() == int(pushback) > 0


async def test_callers_without_a_credential_are_refused_before_it_is_looked_at(
    service: ServiceUnderTest,
) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with overloaded(service, attachment_id, excess=1):
        service.metadata = ()
        assert (await failure(service.get("no id"))).reason == "OVERLOADED"


async def test_health_and_reflection_are_never_refused(service: ServiceUnderTest) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    health: Any = health_pb2_grpc.HealthStub(service.channel)
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    async with overloaded(service, attachment_id, excess=1):
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection.ServerReflectionInfo(iter([request]))
        assert (await anext(aiter(answers))).list_services_response.service


async def test_the_client_retries_a_refused_call(service: ServiceUnderTest) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        async with overloaded(service, attachment_id, excess=1):
            call = asyncio.create_task(
                client.get_upload_session(tenant_id=TENANT, attachment_id=attachment_id)
            )
            await shed_above(service, "concurrency", 1)
        assert (await call).session.attachment_id == attachment_id


async def test_64_callers_on_one_connection_are_all_answered(service: ServiceUnderTest) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id

    async def caller() -> list[str]:
        return [(await service.get(attachment_id)).attachment_id for _ in range(20)]

    answers = await asyncio.gather(*(caller() for _ in range(64)))
    assert answers == [[attachment_id] * 20] * 64


async def test_without_load_shedding_no_call_is_refused(make_service: MakeService) -> None:
    service = await make_service(**SETTINGS, load_shedding=False)
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with database_blocked(service):
        calls = [asyncio.create_task(service.get(attachment_id)) for _ in range(LEAST + 10)]
        await service.until_blocked(1)
    await asyncio.gather(*calls)


async def test_the_client_gets_answers_for_more_calls_than_one_connection_may_carry(
    make_service: MakeService,
) -> None:
    service = await make_service(grpc_max_streams=16)
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        answers = await asyncio.gather(
            *(
                client.get_upload_session(tenant_id=TENANT, attachment_id=attachment_id)
                for _ in range(100)
            )
        )
    assert {answer.session.attachment_id for answer in answers} == {attachment_id}


async def test_a_call_without_enough_time_is_not_started(make_service: MakeService) -> None:
    service = await make_service(**SETTINGS, grpc_accept_prefetch=True)
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id="any")
    async with asyncio.timeout(SECONDS):
        while not await shed(service, "deadline"):
            with suppress(grpc.aio.AioRpcError):
                await service.uploads.GetUploadSession(
                    request, metadata=service.metadata, timeout=0.015
                )


async def test_calls_without_enough_time_do_not_count_against_the_streams_of_their_connection(
    make_service: MakeService,
) -> None:
    service = await make_service(**SETTINGS | {"grpc_max_streams": 16}, grpc_accept_prefetch=True)
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)

    async def hurried() -> None:
        with suppress(grpc.aio.AioRpcError):
            await service.uploads.GetUploadSession(
                request, metadata=service.metadata, timeout=0.015
            )

    async with asyncio.timeout(SECONDS):
        while await shed(service, "deadline") < 64:
            await asyncio.gather(*(hurried() for _ in range(8)))
            assert (await service.get(attachment_id)).attachment_id == attachment_id


async def was_refused_by_grpc(service: ServiceUnderTest, attachment_id: str) -> bool:
    try:
        await service.get(attachment_id)
    except grpc.aio.AioRpcError as error:
        is_bare = DETAILS not in dict(error.trailing_metadata() or ())
        return is_bare and error.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def until_refused_by_grpc(service: ServiceUnderTest, attachment_id: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not any(
            await asyncio.gather(*(was_refused_by_grpc(service, attachment_id) for _ in range(64)))
        ):
            pass


@pytest.mark.exhaustive
async def test_refused_calls_count_for_a_while_only_though_others_are_refused(
    make_service: MakeService,
) -> None:
    service = await make_service(
        **SETTINGS | {"grpc_max_streams": LEAST + 32}, grpc_accept_prefetch=True
    )
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=attachment_id)

    async def refuse_another_caller() -> None:
        own_connection = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(service.target, own_connection) as channel:
            uploads: Any = UploadSessionServiceStub(channel)
            assert (await failure(uploads.GetUploadSession(request))).reason == "OVERLOADED"

    async with overloaded(service, attachment_id) as (_, waiting):
        await until_refused_by_grpc(service, attachment_id)
        async with asyncio.timeout(SECONDS):
            while await was_refused_by_grpc(service, attachment_id):
                await refuse_another_caller()
    await asyncio.gather(*waiting)


async def test_a_connection_whose_calls_are_refused_is_limited_by_grpc_itself(
    make_service: MakeService,
) -> None:
    service = await make_service(
        **SETTINGS | {"grpc_max_streams": LEAST + 32}, grpc_accept_prefetch=True
    )
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with overloaded(service, attachment_id) as (_, waiting):
        await until_refused_by_grpc(service, attachment_id)
    await asyncio.gather(*waiting)
    async with asyncio.timeout(SECONDS):
        while await was_refused_by_grpc(service, attachment_id):
            pass
    assert (await service.get(attachment_id)).attachment_id == attachment_id


@pytest.mark.parametrize("is_late", [True, False], ids=["later", "at-once"])
async def test_calls_are_accepted_after_the_core_has_failed_all_requests_for_them(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    failing = iter(range(40))

    async def failing_at_first(server: Any, method: bytes) -> Any:
        if method.endswith(b"/GetUploadSession") and next(failing, None) is not None:
            if is_late:
                failed = asyncio.get_running_loop().create_future()
                failed.get_loop().call_soon(failed.set_exception, cygrpc._RequestCallError())
                await failed
            raise cygrpc.InternalError
        return await cygrpc.AioServer._request_registered_call(server, method)

    monkeypatch.setattr(
        accepting.PrefetchingServer, "_request_registered_call", failing_at_first, raising=False
    )
    service = await make_service(**SETTINGS, grpc_accept_prefetch=True)
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    async with asyncio.timeout(SECONDS):
        assert (await service.get(attachment_id)).attachment_id == attachment_id
    assert next(failing, None) is None
