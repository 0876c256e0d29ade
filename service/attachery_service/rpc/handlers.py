"""gRPC's handlers for the services: each method enters its own pipeline here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import grpc

from attachery_service.rpc.accept.admission import current_slot
from attachery_service.rpc.context import ServicerContext
from attachery_service.rpc.methods import Method
from attachery_service.rpc.pipeline.calls import Call
from attachery_service.rpc.pipeline.compose import pipeline_of, unknown_pipeline
from attachery_service.rpc.pipeline.parts import PipelineParts
from attachery_service.rpc.pipeline.pipeline import Pipeline
from attachery_service.rpc.pipeline.status import answer

_UNKNOWN: Final = "unknown"

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # not generic at run time
_Handle = Callable[[Any, ServicerContext], Awaitable[bytes | None]]


def add_service(
    server: grpc.aio.Server,
    name: str,
    methods: Sequence[Method],
    servicer: object,
    parts: PipelineParts,
) -> None:
    """Serves each method by the servicer's method of the same name."""
    handlers = {
        method.name: _handler(
            method, pipeline_of(method, getattr(servicer, method.name), parts), parts.docs_url
        )
        for method in methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    server.add_registered_method_handlers(name, handlers)


def add_unknown_methods(server: grpc.aio.Server, parts: PipelineParts) -> None:
    """Answers calls of all other methods. To be called last: the first handler decides."""
    server.add_generic_rpc_handlers((_UnknownMethods(unknown_pipeline(parts), parts.docs_url),))


class _UnknownMethods(grpc.GenericRpcHandler):
    def __init__(self, pipeline: Pipeline, docs_url: str) -> None:
        self._handler: _Handler = grpc.unary_unary_rpc_method_handler(
            _handle(_UNKNOWN, pipeline, docs_url)
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler:
        return self._handler


def _handler(method: Method, pipeline: Pipeline, docs_url: str) -> _Handler:
    # Without a serializer and a deserializer gRPC leaves the bytes to the pipeline.
    handle = _handle(method.path, pipeline, docs_url)
    if method.streams_requests:
        return grpc.stream_stream_rpc_method_handler(handle, request_deserializer=method.parse)
    if method.streams_responses:
        return grpc.unary_stream_rpc_method_handler(handle)
    return grpc.unary_unary_rpc_method_handler(handle)


def _handle(path: str, pipeline: Pipeline, docs_url: str) -> _Handle:
    async def handle(request: Any, rpc: ServicerContext) -> bytes | None:
        """The response; None for a stream, whose responses have been sent."""
        slot = current_slot()
        call = Call(method=path, rpc=rpc, request=request, slot=slot, docs_url=docs_url)
        await pipeline.process([call])
        await answer(call)
        return call.response

    return handle
