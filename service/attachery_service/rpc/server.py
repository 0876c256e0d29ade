"""The gRPC server: services, limits, and a shutdown that loses no call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from attachery.v1 import admin_pb2_grpc, attachments_pb2_grpc, upload_sessions_pb2_grpc
from attachery_service.rpc.accept.prefetching_server import (
    asks_ahead,
    new_server,
    refuse_unread,
    stop_asking,
)
from attachery_service.rpc.interceptor import CallInterceptor, Interception
from attachery_service.rpc.messages.attachment_view import AttachmentView
from attachery_service.rpc.messages.resolutions import Encode, JoinedEncoding, MessageEncoding
from attachery_service.rpc.methods import SERVICES
from attachery_service.rpc.services.admin import AdminServicer, AdminUseCases
from attachery_service.rpc.services.attachments import AttachmentServicer, AttachmentUseCases
from attachery_service.rpc.services.health import Health, HealthServicer
from attachery_service.rpc.services.reflection import add_reflection
from attachery_service.rpc.services.upload_sessions import (
    UploadSessionServicer,
    UploadSessionUseCases,
)
from attachery_service.rpc.shutdown import end_connections
from attachery_service.rpc.tls import TlsFiles, server_credentials

_UNBOUNDED = 2**31 - 1

_OPTIONS = (
    # The largest request is a Resolve of 1,000 ids: 40 KB.
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    # Beyond 1,000 waiting calls the core would end calls at random, with CANCELLED.
    ("grpc.server.max_pending_requests", _UNBOUNDED),
    ("grpc.server.max_pending_requests_hard_limit", _UNBOUNDED),
    # Callers that balance by DNS find new servers when their connections end now and then.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    # Callers may ping every 10 s; by default the library calls that too many.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True)
class Wire:
    """All that the server serves, from one bucket.

    `reuse_encoded`: Resolve joins its answers from attachments encoded before.
    """

    uploads: UploadSessionUseCases
    attachments: AttachmentUseCases
    admin: AdminUseCases
    interception: Interception
    health: Health
    bucket: str
    reuse_encoded: bool
    reflection: bool
    ask_ahead: bool
    max_streams: int


class Server:
    """Listens on one address."""

    def __init__(self, server: grpc.aio.Server, interception: Interception, port: int) -> None:
        self._server = server
        self._admission = interception.admission
        self._in_flight = interception.in_flight
        self.port = port
        self.asks_ahead = asks_ahead(server)

    async def stop(self, grace: float) -> int:
        """Refuses new calls, and ends once those at work are answered.

        Calls that take longer than `grace` seconds are cut off. Returns their number.
        Callers see the result of their call, or UNAVAILABLE with a reason.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self._admission.close()
        refuse_unread(self._server)
        late = await end_connections(self.port, self._in_flight, self._admission, grace)
        self._in_flight.end_streams()
        self._admission.log_refusals()
        await stop_asking(self._server)
        # Nothing is left to wait for, unless the system does not list this process's sockets.
        await self._server.stop(max(end - loop.time(), 0))
        return late


async def start_server(
    wire: Wire, listen: str, tls: TlsFiles | None = None, *, share_port: bool = False
) -> Server:
    """Serves on `listen` (HOST:PORT, port 0 for a free one). Raises OSError if it is taken."""
    # On by default, it lets two servers share a port by mistake and without a word.
    sharing = ("grpc.so_reuseport", int(share_port))
    streams = ("grpc.max_concurrent_streams", wire.max_streams)
    server = new_server(
        [CallInterceptor(wire.interception)],
        [*_OPTIONS, sharing, streams],
        wire.interception.admission,
        longest=wire.interception.longest,
        ahead=wire.ask_ahead,
    )
    view, in_flight = AttachmentView(wire.bucket), wire.interception.in_flight
    upload_sessions_pb2_grpc.add_UploadSessionServiceServicer_to_server(
        UploadSessionServicer(wire.uploads, view), server
    )
    attachments_pb2_grpc.add_AttachmentServiceServicer_to_server(
        AttachmentServicer(wire.attachments, view, _encode(wire, view)), server
    )
    admin_pb2_grpc.add_AdminServiceServicer_to_server(AdminServicer(wire.admin), server)
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(wire.health, in_flight), server)
    if wire.reflection:
        add_reflection(server, (*SERVICES, health.SERVICE_NAME), in_flight)
    port = _bind(server, listen, tls)
    await server.start()
    return Server(server, wire.interception, port)


def _encode(wire: Wire, view: AttachmentView) -> Encode:
    return JoinedEncoding(view) if wire.reuse_encoded else MessageEncoding(view)


def _bind(server: grpc.aio.Server, listen: str, tls: TlsFiles | None) -> int:
    try:
        if tls is None:
            return server.add_insecure_port(listen)
        return server.add_secure_port(listen, server_credentials(tls))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {listen}: it is taken, or not of this machine") from error
