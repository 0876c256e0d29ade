"""gRPC reflection: serves the contract to tools such as grpcurl and buf curl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.rpc import code_pb2, error_details_pb2  # noqa: F401  for tools that show errors
from grpc_reflection.v1alpha import reflection, reflection_pb2

from attachery.v1 import errors_pb2  # noqa: F401  no service's file imports the reasons
from attachery_service.rpc.context import CallContext

SERVICE: Final = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
# v1alpha as packaged, and v1, which has the same messages under another name. Newer tools ask for
# v1 first; the package has only v1alpha (grpc/grpc#38576).
SERVICE_NAMES: Final = (SERVICE.full_name, "grpc.reflection.v1.ServerReflection")


class ReflectionServicer:
    """Ends its streams when the server stops, so tools that keep one open do not delay it."""

    def __init__(self, services: tuple[str, ...]) -> None:
        names = (*services, SERVICE.full_name)
        self._packaged = reflection.aio.ReflectionServicer(names, _Symbols(Default()))

    async def ServerReflectionInfo(
        self,
        requests: AsyncIterable[reflection_pb2.ServerReflectionRequest],
        context: CallContext,
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        if context.ending is not None:
            requests = _until(context.ending, requests)
        async for response in self._packaged.ServerReflectionInfo(requests, context):
            yield response


class _Symbols:
    """The descriptor pool; also finds the file of a method.

    protobuf's C implementation finds the file of a message, field, enum, value or service only.
    Tools such as `grpcurl describe` also ask for `package.Service.Method`, which the protocol
    allows (`file_containing_symbol` in reflection.proto).
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """Raises KeyError for an unknown symbol."""
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
    """Yields requests as they arrive, until `ending` is set."""
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
