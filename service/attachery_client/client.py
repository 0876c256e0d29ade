"""The client: its options and its connections."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from types import EllipsisType
from typing import Self

import grpc

from attachery_client.call_options import ApiKeySource, CallOptions, Metadata, OnCall
from attachery_client.connection import Channel, Connection
from attachery_client.files import Files
from attachery_client.retry import ChannelOption


class AttacheryClient(Files):
    """Attachery from one event loop; any number of tasks may share it.

    - `target`: `host:port`; with several servers behind one name, `dns:///host:port`.
    - `api_key`: an API key, the `session_token` of one session, or a JSON Web Token; None for a
      caller that the certificate in `credentials` identifies; or a function or coroutine function
      that returns one of these, called for every call. Sent with every call, so use TLS on any
      network that is not your own.
    - `credentials`: `grpc.ssl_channel_credentials()` for TLS; None for a plain connection.
    - `timeout`, `complete_timeout`: default deadlines of a call and of Complete, in seconds, over
      all attempts: a call that finds the service UNAVAILABLE is made up to 4 times.
    - `metadata`: sent with every call, such as `traceparent`; `x-request-id` in place of a new one.
    - `on_call`: called with the CallInfo of every call that succeeded or failed; it must not raise.
    - `interceptors`: `grpc.aio.UnaryUnaryClientInterceptor`s around every call; the errors that
      they raise reach the caller.
    - `options`: channel options of gRPC, before the client's own.

    `bound` returns the same client with other options for a part of its calls.

    Example:

        async with AttacheryClient("attachery:50051", api_key=key) as client:
            attachment = await client.upload("report.pdf", tenant_id="acme")
    """

    def __init__(
        self,
        target: str,
        *,
        api_key: ApiKeySource,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = 10.0,
        complete_timeout: float = 60.0,
        metadata: Metadata | None = None,
        on_call: OnCall | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        options: Sequence[ChannelOption] = (),
    ) -> None:
        channel = Channel(target, credentials, options, interceptors)
        own = CallOptions(api_key).bound(..., metadata, on_call)
        super().__init__(Connection(channel, own, timeout), complete_timeout)

    async def __aenter__(self) -> Self:
        self._connection.channel.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancels the calls in flight; `async with` closes the client on its own."""
        await self._connection.channel.close()

    def bound(
        self,
        *,
        api_key: ApiKeySource | EllipsisType = ...,
        metadata: Metadata | None = None,
        on_call: OnCall | None = None,
    ) -> Self:
        """The same client with other options, for example those of one incoming request.

        It shares the connections, and is open as long as this client is: creating one costs nothing
        and it needs no `async with`.

        - `api_key`: in place of the client's; None sends no credential.
        - `metadata`: in addition to the client's, or in place of entries with the same key.
        - `on_call`: called after the client's own.

        Raises ValueError for a key or metadata that no call can carry.

        Example:

            calls: list[CallInfo] = []
            caller = client.bound(api_key=their_key, on_call=calls.append)
            session = await caller.get_upload_session(attachment_id, tenant_id="acme")
            request_id, limit = calls[-1].request_id, calls[-1].rate_limit
        """
        bound = copy(self)
        options = self._connection.options.bound(api_key, metadata, on_call)
        bound._connection = self._connection.bound(options)
        return bound
