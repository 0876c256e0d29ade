"""gRPC reflection: the contract at hand for grpcurl, buf curl and their like."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2  # noqa: F401  lets tools resolve the details of errors
from grpc_reflection.v1alpha import reflection, reflection_pb2

_V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> None:
    """Serves v1alpha as packaged, and v1, which has the same messages under another name.

    Newer tools ask for v1 first; the package has only v1alpha (grpc/grpc#38576).
    """
    names = (*services, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    servicer = reflection.aio.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_V1, {"ServerReflectionInfo": handler}),)
    )
