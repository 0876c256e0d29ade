"""SIGTERM and Ctrl-C: running calls finish, new ones are refused, and nothing delays the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from attachery.v1 import resources_pb2, upload_sessions_pb2
from attachery_service.app.serve import open_app
from attachery_service.settings.service import Settings
from support.failures import failure
from support.process_fixtures import Serve, ServeSettings, Serving
from support.processes import started
from support.proxy import Proxy, proxy_of
from support.store_fixtures import StoreUnderTest

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READY = resources_pb2.UPLOAD_SESSION_STATE_READY
SIGNALS = [signal.SIGTERM, signal.SIGINT]

# Channels to one address share a connection otherwise.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)

# Longer than any test waits: a test that waits for it fails.
NEVER = 100


@pytest.fixture
async def slow_store(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


@pytest.fixture
def behind_slow_store(slow_store: Proxy, object_store: StoreUnderTest) -> ServeSettings:
    return {
        "s3_endpoint": slow_store.in_front_of(object_store.endpoint),
        "s3_public_endpoint": object_store.endpoint,
        "s3_timeout": NEVER,
        "drain_time": NEVER,
    }


async def held_complete(
    serving: Serving, store: Proxy, attachment_id: str | None = None
) -> asyncio.Task[Any]:
    """A Complete that waits for object storage."""
    attachment_id = attachment_id or await serving.uploaded()
    store.hold()
    call = asyncio.create_task(serving.complete(attachment_id))
    async with asyncio.timeout(10):
        await store.held.wait()
    return call


async def is_refusing(listen: str) -> bool:
    """Whether the server refuses a new connection."""
    async with grpc.aio.insecure_channel(listen, options=OWN_CONNECTION) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        try:
            await check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAVAILABLE
        return False


async def refusing(listen: str) -> None:
    async with asyncio.timeout(10):
        while not await is_refusing(listen):
            pass


async def watching(serving: Serving, name: str = "") -> Any:
    """A held Health.Watch that has received SERVING."""
    watch = health_pb2_grpc.HealthStub(serving.channel).Watch(
        health_pb2.HealthCheckRequest(service=name)
    )
    assert (await watch.read()).status == SERVING
    return watch


async def reflecting(serving: Serving) -> Any:
    """A held reflection stream with a first response."""
    stream: Any = serving.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert (await stream.read()).list_services_response.service
    return stream


@pytest.mark.parametrize("number", SIGNALS)
async def test_calls_at_work_finish_and_new_ones_are_refused(
    serve: Serve, slow_store: Proxy, behind_slow_store: ServeSettings, number: signal.Signals
) -> None:
    serving = await serve(**behind_slow_store)
    watch = await watching(serving)
    call = await held_complete(serving, slow_store)
    serving.process.send(number)
    assert (await watch.read()).status == NOT_SERVING
    await refusing(serving.listen)
    assert not call.done()
    slow_store.release()
    completed = await call
    assert completed.session.state == READY
    assert await serving.process.ended() == 0
    completes = [
        line["code"]
        for line in serving.process.events("rpc")
        if line["method"].endswith("/CompleteUploadSession")
    ]
    assert completes == ["OK"]


@pytest.mark.exhaustive
async def test_of_calls_that_keep_coming_each_is_answered_or_refused_at_the_stop(
    serve: Serve,
) -> None:
    serving = await serve(drain_time=NEVER)
    started = await serving.start()
    wanted = upload_sessions_pb2.GetUploadSessionRequest(
        tenant_id=serving.tenant_id, attachment_id=started.session.attachment_id
    )
    answered = 0
    enough = asyncio.Event()

    async def keep_calling() -> grpc.StatusCode:
        nonlocal answered
        while True:
            try:
                await serving.uploads.GetUploadSession(wanted, metadata=serving.metadata())
            except grpc.aio.AioRpcError as error:
                return error.code()
            answered += 1
            if answered == 1_000:
                enough.set()

    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(keep_calling()) for _ in range(100)]
        await enough.wait()
        # A call that was accepted and forgotten would delay the end.
        assert await serving.process.stopped() == 0
    assert {caller.result() for caller in callers} == {grpc.StatusCode.UNAVAILABLE}


@pytest.mark.exhaustive
async def test_calls_without_a_message_are_refused_with_a_reason_at_the_stop(serve: Serve) -> None:
    # gRPC's own server ends such calls with the connection, and without a reason.
    serving = await serve(drain_time=NEVER, grpc_accept_prefetch=True)

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    get: Any = serving.channel.stream_unary("/attachery.v1.UploadSessionService/GetUploadSession")
    calls = [get(never()) for _ in range(3)]
    await serving.start()  # on the same connection: the server has received those
    assert await serving.process.stopped() == 0
    assert [(await failure(call)).reason for call in calls] == ["SHUTTING_DOWN"] * 3


@pytest.mark.exhaustive
async def test_streams_without_an_end_do_not_hold_up_the_stop(serve: Serve) -> None:
    serving = await serve(drain_time=NEVER)
    watch, unknown = await watching(serving), await watching(serving, "liveness")
    reflection = await reflecting(serving)
    assert await serving.process.stopped() == 0
    assert (await watch.read()).status == NOT_SERVING
    for stream in (watch, unknown, reflection):
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK
    assert sorted((line["method"], line["code"]) for line in serving.process.events("rpc")) == [
        ("/grpc.health.v1.Health/Watch", "OK"),
        ("/grpc.health.v1.Health/Watch", "OK"),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "OK"),
    ]


async def test_while_calls_finish_connected_callers_are_refused_with_a_reason(
    serve: Serve, slow_store: Proxy, behind_slow_store: ServeSettings
) -> None:
    serving = await serve(**behind_slow_store)
    call = await held_complete(serving, slow_store)
    serving.process.send(signal.SIGTERM)
    await refusing(serving.listen)
    refused = await failure(serving.start())
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert "RetryInfo" in refused.kinds
    check = health_pb2_grpc.HealthStub(serving.channel).Check
    assert (await check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
    alive = await check(health_pb2.HealthCheckRequest(service="liveness"))
    assert alive.status == SERVING
    slow_store.release()
    assert (await call).session.state == READY
    assert await serving.process.ended() == 0
    assert serving.process.events("calls refused")[0]["shutdown"] == 1


@pytest.mark.exhaustive
async def test_a_slow_call_of_one_caller_does_not_keep_the_connections_of_others(
    serve: Serve, slow_store: Proxy, behind_slow_store: ServeSettings
) -> None:
    serving = await serve(**behind_slow_store)
    async with grpc.aio.insecure_channel(serving.listen, options=OWN_CONNECTION) as channel:
        other = await watching(replace(serving, channel=channel))
        own = await watching(serving)
        call = await held_complete(serving, slow_store)
        serving.process.send(signal.SIGTERM)
        assert (await other.read()).status == NOT_SERVING
        assert await other.read() is grpc.aio.EOF
        assert await other.code() is grpc.StatusCode.OK
        state = channel.get_state()
        while state is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
        assert (await own.read()).status == NOT_SERVING
        assert not call.done()
        slow_store.release()
        assert (await call).session.state == READY
        assert await own.read() is grpc.aio.EOF
        assert await serving.process.ended() == 0


async def test_a_second_signal_ends_it_at_once(
    serve: Serve, slow_store: Proxy, behind_slow_store: ServeSettings
) -> None:
    serving = await serve(**behind_slow_store)
    call = await held_complete(serving, slow_store)
    serving.process.send(signal.SIGTERM)
    await serving.process.logged("draining")
    serving.process.send(signal.SIGTERM)
    assert await serving.process.ended(within=2) == 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.exhaustive
async def test_a_call_that_takes_longer_than_the_drain_is_ended_and_may_be_repeated(
    serve: Serve, slow_store: Proxy, behind_slow_store: ServeSettings
) -> None:
    serving = await serve(**{**behind_slow_store, "drain_time": 0.2})
    attachment_id = await serving.uploaded()
    call = await held_complete(serving, slow_store, attachment_id)
    serving.process.send(signal.SIGTERM)
    refused = await failure(call)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert await serving.process.ended() == 0
    assert (await serving.process.logged("calls cut off"))["calls"] == 1
    slow_store.release()
    again = await serve(**behind_slow_store)
    completed = await again.complete(attachment_id)
    assert completed.session.state == READY


async def test_during_the_delay_calls_are_answered_while_balancers_hear_of_the_end(
    serve: Serve,
) -> None:
    serving = await serve(drain_delay=NEVER)
    watch, health = await watching(serving), health_pb2_grpc.HealthStub(serving.channel)
    serving.process.send(signal.SIGINT)
    assert (await watch.read()).status == NOT_SERVING
    alive = await health.Check(health_pb2.HealthCheckRequest(service="liveness"))
    assert alive.status == SERVING
    assert not await is_refusing(serving.listen)
    assert (await serving.start()).session.attachment_id
    serving.process.send(signal.SIGINT)
    assert await serving.process.ended(within=2) == 1


async def test_a_server_that_is_still_starting_stops_too(
    serve_settings: ServeSettings,
    slow_store: Proxy,
    behind_slow_store: ServeSettings,
    tmp_path: Path,
) -> None:
    slow_store.hold()
    settings = {**serve_settings, **behind_slow_store}
    with started(tmp_path, "serve", settings=settings) as process:
        async with asyncio.timeout(20):
            await slow_store.held.wait()
        assert await process.stopped() == 0
        assert process.errors == ""


async def test_a_server_that_stops_within_a_process_leaves_no_socket_behind(
    serve_settings: ServeSettings,
) -> None:
    chosen = Settings.model_validate(serve_settings)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(chosen))
        port = int(app.listen.rpartition(":")[2])
        channels = [grpc.aio.insecure_channel(app.listen, options=OWN_CONNECTION) for _ in "123"]
        for channel in channels:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        before = sockets_of_this_process(port)
        await stack.aclose()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
    assert before == 4  # it listens, and is connected to three channels
    assert sockets_of_this_process(port) == 0


def sockets_of_this_process(port: int) -> int:
    """The number of this process's sockets with this port on their own side."""
    entries = (entry.name for entry in Path("/proc/self/fd").iterdir())
    return sum(local_port(int(name)) == port for name in entries)


def local_port(descriptor: int) -> int | None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            address = found.getsockname()
    except OSError:
        return None
    return int(address[1]) if isinstance(address, tuple) else None
