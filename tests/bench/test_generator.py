"""The generator's own HTTP/2, on a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from bench import echo, http2


@pytest.fixture
async def connection() -> AsyncIterator[http2.GrpcConnection]:
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    (opened,) = await http2.connect("127.0.0.1", port, 1)
    yield opened
    opened.close()
    await server.stop(None)


async def test_messages_larger_than_the_window_arrive_complete(
    connection: http2.GrpcConnection,
) -> None:
    messages = [bytes([number]) * size for number, size in enumerate((0, 1, 16_380, 4_000_000))]
    requests = [http2.request(echo.METHOD, message) for message in messages] * 2

    answers = await asyncio.gather(*(connection.call(request) for request in requests))

    assert answers == messages * 2


async def test_headers_sent_before_and_headers_beyond_the_table_are_understood(
    connection: http2.GrpcConnection,
) -> None:
    keys = [f"key-{number}".ljust(80, "x") for number in range(100)] * 2

    for key in keys:
        answer = await connection.call(http2.request(echo.METHOD, key.encode(), key))
        assert answer == f"Bearer {key}".encode()


async def test_an_error_is_reported(connection: http2.GrpcConnection) -> None:
    with pytest.raises(http2.CallFailedError, match="12: Method not found"):
        await connection.call(http2.request("/bench.Echo/Unknown", b""))


async def _echo(message: bytes, context: Any) -> bytes:
    """The message, or the credential that came with it."""
    told = dict(context.invocation_metadata()).get("authorization")
    return message if told is None else str(told).encode()
