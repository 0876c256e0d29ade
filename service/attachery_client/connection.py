"""The channel to Attachery, and calls over it: with their metadata, and with translated errors."""
# ruff: noqa: ASYNC109 - gRPC callers expect a deadline per call

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import grpc

from attachery.v1.access_pb2_grpc import AccessServiceStub
from attachery.v1.admin_pb2_grpc import AdminServiceStub
from attachery.v1.attachments_pb2_grpc import AttachmentServiceStub
from attachery.v1.upload_sessions_pb2_grpc import UploadSessionServiceStub
from attachery_client.call_info import (
    REQUEST_ID_KEY,
    CallInfo,
    Trailers,
    attempts_of,
    rate_limit_of,
    request_id_of,
    trailers_of,
)
from attachery_client.call_options import CallOptions
from attachery_client.errors import AttacheryError
from attachery_client.retry import ChannelOption, channel_options
from attachery_client.status import from_rpc_error
from attachery_client.transfer import Transfer, open_transfer

if TYPE_CHECKING:  # stubs are one class for both kinds of channel; their typings are two
    from attachery.v1.access_pb2_grpc import AccessServiceAsyncStub
    from attachery.v1.admin_pb2_grpc import AdminServiceAsyncStub
    from attachery.v1.attachments_pb2_grpc import AttachmentServiceAsyncStub
    from attachery.v1.upload_sessions_pb2_grpc import UploadSessionServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[Request, Response]"


@dataclass(frozen=True, slots=True)
class Stubs:
    """The gRPC stubs of all services."""

    uploads: UploadSessionServiceAsyncStub
    attachments: AttachmentServiceAsyncStub
    admin: AdminServiceAsyncStub
    access: AccessServiceAsyncStub


class Channel:
    """The connections that a client shares with its bound copies: to Attachery, and to storage.

    Opened inside the event loop that uses it: a channel of gRPC belongs to one loop.
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        options: Sequence[ChannelOption],
        interceptors: Sequence[grpc.aio.ClientInterceptor],
    ) -> None:
        self._target = target
        self._credentials = credentials
        self._options = channel_options(options)
        self._interceptors = interceptors
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None
        self._transfer: Transfer | None = None

    @property
    def stubs(self) -> Stubs:
        """Raises RuntimeError before the channel is open, and after it is closed."""
        if self._stubs is None:
            raise RuntimeError("the client is not open: use `async with AttacheryClient(...)`")
        return self._stubs

    @property
    def transfer(self) -> Transfer:
        """Opened on first use. Raises RuntimeError unless the channel is open, and MissingExtra."""
        _ = self.stubs
        if self._transfer is None:
            self._transfer = self._new_transfer()
        return self._transfer

    def open(self) -> None:
        channel = self._channel = self._new_channel()
        self._stubs = Stubs(
            cast("UploadSessionServiceAsyncStub", UploadSessionServiceStub(channel)),
            cast("AttachmentServiceAsyncStub", AttachmentServiceStub(channel)),
            cast("AdminServiceAsyncStub", AdminServiceStub(channel)),
            cast("AccessServiceAsyncStub", AccessServiceStub(channel)),
        )

    async def close(self) -> None:
        transfer, self._transfer = self._transfer, None
        channel, self._channel, self._stubs = self._channel, None, None
        if transfer is not None:
            await transfer.close()
        if channel is not None:
            await channel.close()

    async def send(
        self,
        method: Call[Request, Response],
        request: Request,
        timeout: float,
        metadata: dict[str, str | bytes],
    ) -> tuple[Response, Trailers]:
        """The response and its trailing metadata. Raises AttacheryError, nothing of gRPC."""
        call = method(request, timeout=timeout, metadata=tuple(metadata.items()))
        try:
            return await call, trailers_of(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, request_id=str(metadata[REQUEST_ID_KEY])) from error

    def _new_channel(self) -> grpc.aio.Channel:
        own = (self._options, None, self._interceptors)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, *own)
        return grpc.aio.secure_channel(self._target, self._credentials, *own)

    def _new_transfer(self) -> Transfer:
        return open_transfer()


class Connection:
    """Calls over a channel, with the options of one client or bound copy.

    `timeout`: the default deadline of a call, in seconds.
    """

    def __init__(self, channel: Channel, options: CallOptions, timeout: float) -> None:
        self.channel = channel
        self.options = options
        self._timeout = timeout

    def bound(self, options: CallOptions) -> Connection:
        return Connection(self.channel, options, self._timeout)

    @property
    def stubs(self) -> Stubs:
        """Raises RuntimeError before the client is open, and after it is closed."""
        return self.channel.stubs

    async def call(
        self, method: Call[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        """`timeout` in seconds, None for the default.

        Raises AttacheryError, nothing of gRPC, and the errors of a callable `api_key`.
        """
        metadata = await self.options.call_metadata()
        limit = self._timeout if timeout is None else timeout
        name = type(request).__name__.removesuffix("Request")
        try:
            response, trailers = await self.channel.send(method, request, limit, metadata)
        except AttacheryError as error:
            self._report(_failed(name, error))
            raise
        request_id = request_id_of(trailers) or str(metadata[REQUEST_ID_KEY])
        self._report(_succeeded(name, request_id, trailers))
        return response

    def _report(self, info: CallInfo) -> None:
        for hook in self.options.on_call:
            hook(info)


def _succeeded(method: str, request_id: str, trailers: Trailers) -> CallInfo:
    return CallInfo(
        method=method,
        request_id=request_id,
        attempts=attempts_of(trailers),
        rate_limit=rate_limit_of(trailers),
    )


def _failed(method: str, error: AttacheryError) -> CallInfo:
    return CallInfo(
        method=method,
        request_id=error.request_id,
        code=error.code,
        reason=error.reason,
        attempts=error.attempts,
        rate_limit=error.rate_limit,
        retry_after=error.retry_after,
    )
