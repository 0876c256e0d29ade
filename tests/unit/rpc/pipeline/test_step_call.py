"""Step `call`, of unary calls and of streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from attachery_service.domain.errors import AttachmentNotFound
from attachery_service.rpc.context import CallContext, PlainStatusError
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.pipeline.call import UnaryCall
from attachery_service.rpc.pipeline.streams import StreamingCall, TrackStreams
from support.pipeline_calls import Rpc, call

SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)


async def respond(request: str, _context: CallContext) -> Message | bytes:
    match request:
        case "missing":
            raise AttachmentNotFound(attachmentId="x")
        case "plain":
            raise PlainStatusError(grpc.StatusCode.NOT_FOUND, "no such service")
        case "encoded":
            return b"encoded"
    return SERVING


async def test_each_call_gets_its_response_or_its_error() -> None:
    calls = [call(request=request) for request in ("missing", "", "plain", "encoded")]
    await UnaryCall(respond).process(calls)
    failed, message, plain, encoded = calls
    assert isinstance(failed.error, AttachmentNotFound)
    assert isinstance(plain.error, PlainStatusError)
    assert (message.response, encoded.response) == (SERVING.SerializeToString(), b"encoded")
    assert [each.code is grpc.StatusCode.OK for each in calls] == [False, True, False, True]


async def test_a_stream_is_sent_as_it_is_produced_and_ends_when_the_server_stops() -> None:
    async def watch(
        request: HealthCheckRequest, context: CallContext
    ) -> AsyncGenerator[Message, None]:
        yield SERVING
        assert context.ending is not None
        await context.ending.wait()

    in_flight, rpc = InFlight(), Rpc()
    stream = call(rpc=rpc, peer="ipv4:127.0.0.1:1", request=HealthCheckRequest())
    TrackStreams(in_flight).process([stream])
    running = asyncio.ensure_future(StreamingCall(watch).process([stream]))
    await asyncio.sleep(0)
    assert rpc.sent == [SERVING.SerializeToString()]
    assert not running.done()
    in_flight.end_streams()
    await running
    assert stream.code is grpc.StatusCode.OK
