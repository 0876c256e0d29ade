"""The gRPC server: services, limits, and a shutdown that loses no call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from attachery_service.rpc.accept.accept_prefetch import (
    is_prefetching,
    new_server,
    refuse_unread,
    stop_prefetching,
)
from attachery_service.rpc.handlers import add_service, add_unknown_methods
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.resolutions import (
    Encode,
    JoinedEncoding,
    MessageEncoding,
    ResultCache,
)
from attachery_service.rpc.methods import (
    ACCESS,
    ADMIN,
    ATTACHMENTS,
    SERVICES,
    UPLOADS,
    contract_methods,
    open_methods,
)
from attachery_service.rpc.pipeline.parts import PipelineParts
from attachery_service.rpc.services.access import AccessServicer, AccessUseCases
from attachery_service.rpc.services.admin import AdminServicer, AdminUseCases
from attachery_service.rpc.services.attachments import AttachmentServicer, AttachmentUseCases
from attachery_service.rpc.services.health import Health, HealthServicer
from attachery_service.rpc.services.reflection import SERVICE as REFLECTION
from attachery_service.rpc.services.reflection import SERVICE_NAMES, ReflectionServicer
from attachery_service.rpc.services.upload_sessions import (
    UploadSessionServicer,
    UploadSessionUseCases,
)
from attachery_service.rpc.shutdown import end_connections
from attachery_service.rpc.tls import TlsFiles, server_credentials

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]

_UNBOUNDED = 2**31 - 1

_OPTIONS = (
    # The largest request is a Resolve of 1,000 ids: 40 KB.
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    # Beyond 1,000 waiting calls the core would end calls at random, with CANCELLED.
    ("grpc.server.max_pending_requests", _UNBOUNDED),
    ("grpc.server.max_pending_requests_hard_limit", _UNBOUNDED),
    # Callers that balance by DNS find new servers because their connections end regularly.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    # Callers may ping every 10 s; by default the library refuses that as too often.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True)
class ServerParts:
    """The use cases and settings of a server.

    `bucket`: of all attachments. `results`: a cache from which Resolve joins its responses; None:
    every response is encoded anew. `max_streams`: calls at a time on one connection.
    """

    uploads: UploadSessionUseCases
    attachments: AttachmentUseCases
    admin: AdminUseCases
    access: AccessUseCases
    pipeline: PipelineParts
    health: Health
    bucket: str
    results: ResultCache | None
    reflection: bool
    accept_prefetch: bool
    max_streams: int


class Server:
    """Listens on one address."""

    def __init__(self, server: grpc.aio.Server, parts: PipelineParts, port: int) -> None:
        self._server = server
        self._admission = parts.admission
        self._in_flight = parts.in_flight
        self.port = port
        self.is_prefetching = is_prefetching(server)

    async def stop(self, grace: float) -> int:
        """Refuses new calls, and returns once those in progress are answered.

        Cuts off calls that take longer than `grace` seconds, and returns their number. Callers get
        the result of their call, or UNAVAILABLE with a reason.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self._admission.close()
        refuse_unread(self._server)
        late = await end_connections(self.port, self._in_flight, self._admission, grace)
        self._in_flight.end_streams()
        self._admission.log_refusals()
        stop_prefetching(self._server)
        # Nothing is left to wait for, unless the system does not list this process's sockets.
        await self._server.stop(max(end - loop.time(), 0))
        return late


async def start_server(
    parts: ServerParts, listen: str, tls: TlsFiles | None = None, *, share_port: bool = False
) -> Server:
    """Serves on `listen` (HOST:PORT, port 0 for a free one). Raises OSError if it is taken."""
    # On by default, which would let two servers share a port by mistake and without an error.
    sharing = ("grpc.so_reuseport", int(share_port))
    streams = ("grpc.max_concurrent_streams", parts.max_streams)
    server = new_server(
        [*_OPTIONS, sharing, streams],
        parts.pipeline.admission,
        max_call_time=parts.pipeline.max_call_time,
        prefetch=parts.accept_prefetch,
    )
    _add_contract(server, parts)
    _add_open_services(server, parts)
    add_unknown_methods(server, parts.pipeline)
    port = _bind(server, listen, tls)
    await server.start()
    return Server(server, parts.pipeline, port)


def _add_contract(server: grpc.aio.Server, parts: ServerParts) -> None:
    view = AttachmentView(parts.bucket)
    servicers: tuple[tuple[ServiceDescriptor, object], ...] = (
        (UPLOADS, UploadSessionServicer(parts.uploads, view)),
        (ATTACHMENTS, AttachmentServicer(parts.attachments, view, _encode(parts, view))),
        (ADMIN, AdminServicer(parts.admin)),
        (ACCESS, AccessServicer(parts.access)),
    )
    for service, servicer in servicers:
        methods = contract_methods(service)
        add_service(server, service.full_name, methods, servicer, parts.pipeline)


def _add_open_services(server: grpc.aio.Server, parts: ServerParts) -> None:
    health, name = HealthServicer(parts.health), _HEALTH.full_name
    add_service(server, name, open_methods(_HEALTH), health, parts.pipeline)
    if parts.reflection:
        reflection = ReflectionServicer((*SERVICES, name))
        for name in SERVICE_NAMES:
            methods = open_methods(REFLECTION, name)
            add_service(server, name, methods, reflection, parts.pipeline)


def _encode(parts: ServerParts, view: AttachmentView) -> Encode:
    return JoinedEncoding(view, parts.results) if parts.results else MessageEncoding(view)


def _bind(server: grpc.aio.Server, listen: str, tls: TlsFiles | None) -> int:
    try:
        if tls is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, server_credentials(tls))
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on {listen}: the address is taken, or not one of this machine"
        ) from error
