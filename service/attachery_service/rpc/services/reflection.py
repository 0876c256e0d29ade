"""gRPC reflection: the contract at hand for grpcurl, buf curl and their like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.rpc import code_pb2, error_details_pb2  # noqa: F401  for tools that show errors
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from attachery.v1 import errors_pb2  # noqa: F401  no service's file imports the reasons
from attachery_service.rpc.context import Context
from attachery_service.rpc.in_flight import InFlight

_V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: tuple[str, ...], in_flight: InFlight) -> None:
    """Serves v1alpha as packaged, and v1, which has the same messages under another name.

    Newer tools ask for v1 first; the package has only v1alpha (grpc/grpc#38576).
    """
    servicer = _Reflection((*services, reflection.SERVICE_NAME), in_flight)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_V1, {"ServerReflectionInfo": handler}),)
    )


class _Reflection(reflection.aio.ReflectionServicer):
    """Ends its streams when the server stops: tools that keep theirs must not delay it."""

    def __init__(self, names: tuple[str, ...], in_flight: InFlight) -> None:
        super().__init__(names, _Symbols(Default()))  # type: ignore[no-untyped-call]
        self._in_flight = in_flight

    async def ServerReflectionInfo(
        self,
        request_iterator: AsyncIterable[reflection_pb2.ServerReflectionRequest],
        unused_context: Context,
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        ending = self._in_flight.begin_stream(unused_context)
        requests = _until(ending, request_iterator)
        async for response in super().ServerReflectionInfo(requests, unused_context):
            yield response


class _Symbols:
    """The descriptor pool, which finds the file of a method too.

    protobuf's C implementation finds that of a message, field, enum, value or service only; tools
    such as `grpcurl describe` also ask for `package.Service.Method`, as the protocol has it
    (`file_containing_symbol` in reflection.proto).
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """Raises KeyError if there is none."""
        name = symbol.removeprefix(".")
        try:
            return self._pool.FindFileContainingSymbol(name)
        except KeyError:
            service, _, method = name.rpartition(".")
            found = self._pool.FindServiceByName(service)
            return found.methods_by_name[method].containing_service.file


async def _until(
    ending: asyncio.Event, requests: AsyncIterable[reflection_pb2.ServerReflectionRequest]
) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    """Yields the requests as they come, and no more once `ending` is set."""
    closing, coming = asyncio.ensure_future(ending.wait()), aiter(requests)
    upcoming = asyncio.ensure_future(anext(coming, None))
    try:
        while True:
            await asyncio.wait((closing, upcoming), return_when=asyncio.FIRST_COMPLETED)
            if closing.done() or (request := upcoming.result()) is None:
                return
            yield request
            upcoming = asyncio.ensure_future(anext(coming, None))
    finally:
        closing.cancel()
        upcoming.cancel()
