"""The channel to Attachery: adds the metadata of each call and translates its error."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

import grpc

from attachery.v1.access_pb2_grpc import AccessServiceStub
from attachery.v1.admin_pb2_grpc import AdminServiceStub
from attachery.v1.attachments_pb2_grpc import AttachmentServiceStub
from attachery.v1.upload_sessions_pb2_grpc import UploadSessionServiceStub
from attachery_client.fields import new_request_id
from attachery_client.retry import ChannelOption, channel_options
from attachery_client.status import from_rpc_error

if TYPE_CHECKING:  # stubs are one class for both kinds of channel; their typings are two
    from attachery.v1.access_pb2_grpc import AccessServiceAsyncStub
    from attachery.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from attachery.v1.attachments_pb2_grpc import AttachmentServiceAsyncStub
    from attachery.v1.upload_sessions_pb2_grpc import UploadSessionServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")

_API_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Stubs:
    """The gRPC stubs of all services."""

    uploads: UploadSessionServiceAsyncStub
    attachments: AttachmentServiceAsyncStub
    admin: AdminServiceAsyncStub
    access: AccessServiceAsyncStub


class Connection:
    """Opened inside the event loop that uses it: a channel of gRPC belongs to one loop."""

    def __init__(
        self,
        target: str,
        api_key: str | None,
        credentials: grpc.ChannelCredentials | None,
        timeout: float,
        options: Sequence[ChannelOption],
    ) -> None:
        if api_key is not None and not _API_KEY.fullmatch(api_key):
            raise ValueError("api_key must be printable ASCII without spaces or line ends")
        self._target = target
        bearer = f"Bearer {api_key}"
        self._identity = () if api_key is None else (("authorization", bearer),)
        self._credentials = credentials
        self._timeout = timeout
        self._options = channel_options(options)
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None

    @property
    def stubs(self) -> Stubs:
        """Raises RuntimeError before the connection is open, and after it is closed."""
        if self._stubs is None:
            raise RuntimeError("the client is not open: use `async with AttacheryClient(...)`")
        return self._stubs

    def require_open(self) -> None:
        """Raises RuntimeError if no call can be made."""
        _ = self.stubs

    def open(self) -> None:
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self._target, self._options)
        else:
            channel = grpc.aio.secure_channel(self._target, self._credentials, self._options)
        self._channel = channel
        self._stubs = Stubs(
            cast("UploadSessionServiceAsyncStub", UploadSessionServiceStub(channel)),
            cast("AttachmentServiceAsyncStub", AttachmentServiceStub(channel)),
            cast("AdminServiceAsyncStub", AdminServiceStub(channel)),
            cast("AccessServiceAsyncStub", AccessServiceStub(channel)),
        )

    async def close(self) -> None:
        channel, self._channel, self._stubs = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        """`timeout` in seconds, None for the default. Raises AttacheryError, nothing of gRPC."""
        # Plain metadata and not call credentials: gRPC sends those over TLS only, and inside a
        # mesh the channel itself is plain.
        call_id = new_request_id()
        metadata = (*self._identity, ("x-request-id", call_id))
        limit = self._timeout if timeout is None else timeout
        try:
            return await method(request, timeout=limit, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, request_id=call_id) from error
