"""HTTP/1.1 for HEAD requests: one connection, and strict parsing of the responses on it.

httptools parses a response; it must end with its header section, without a byte behind it. Any
other response is refused and closes the connection, because the bytes still to come could be taken
for the response to the next caller's request.

Gain, versions (with httptools 0.9) and switch are those of `HeadPool`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from httptools import HttpParserError, HttpResponseParser

from attachery_service.s3.http.headers import ENCODING, READ_HEADERS

_END: Final = b"\r\n\r\n"
_VERSION: Final = b"HTTP/1.1 "
# S3 takes 8 KB of headers from an uploader. The SDK reads longer responses.
_MAX_BYTES: Final = 32 * 1024
# No 1xx: the final response would follow it, and be left to the next caller.
_STATUSES: Final = range(200, 600)


class HeadResponse(NamedTuple):
    """`headers` contains READ_HEADERS only, with lower-case names."""

    status: int
    headers: Mapping[str, str]


class StaleConnection(ConnectionError):
    """A connection that was used before ended without a byte of this response."""


def head_request(path: str, headers: Mapping[str, str]) -> bytes:
    """Encodes a request. `path` is percent-encoded; `headers` are complete, Host included."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"HEAD {path} HTTP/1.1\r\n{fields}\r\n".encode()


def parse_response(response: bytes) -> HeadResponse:
    """Parses a whole response to a HEAD. Raises ValueError if it is not exactly one."""
    head = _Head()
    parser = HttpResponseParser(head)
    try:
        parser.feed_data(response)
    except HttpParserError as error:
        raise ValueError("malformed response") from error
    status = parser.get_status_code()
    ends_with_headers = response.find(_END) == len(response) - len(_END)
    if not (head.is_complete and ends_with_headers and response.startswith(_VERSION)):
        raise ValueError("malformed response")
    if status not in _STATUSES:
        raise ValueError("malformed response: its status is not final")
    return HeadResponse(status, head.headers)


class _Head:
    """Collects what the parser reports of the header section.

    Only the headers that are read must not repeat: some servers write `Vary` over several lines,
    and an uploader may repeat metadata.
    """

    __slots__ = ("headers", "is_complete")

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode(ENCODING).lower()
        if key not in READ_HEADERS:
            return
        if key in self.headers:
            raise ValueError("repeated header")
        self.headers[key] = value.decode(ENCODING).strip(" \t")

    def on_headers_complete(self) -> None:
        self.is_complete = True


class HeadConnection(asyncio.Protocol):
    """Sends one HEAD at a time, and waits `answer_seconds` for its whole response."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer_seconds: float) -> None:
        self._loop = loop
        self._answer_seconds = answer_seconds
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[HeadResponse] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = b""
        self._was_used = False

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and the last response was complete and did not announce its end."""
        transport = self._transport
        return self._response is None and transport is not None and not transport.is_closing()

    def head(self, request: bytes) -> asyncio.Future[HeadResponse]:
        """Sends a request and returns its response.

        Raises ValueError for a malformed response, TimeoutError, StaleConnection, ConnectionError.
        """
        self._response = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            self._fail(self._loss())
        else:
            self._timer = self._loop.call_later(self._answer_seconds, self._expire)
            self._transport.write(request)
        return self._response

    def abort(self) -> None:
        """Closes the connection at once, also in the middle of a response."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._fail(self._loss())

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            self.abort()  # no request is open
            return
        self._received += data
        if len(self._received) > _MAX_BYTES:
            self._fail(ValueError("the response does not end"))
        elif _END in self._received:
            self._settle(self._response)

    def _settle(self, pending: asyncio.Future[HeadResponse]) -> None:
        try:
            response = parse_response(self._received)
        except ValueError as error:
            self._fail(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        if not pending.done():
            pending.set_result(response)
        if response.headers.get("connection", "keep-alive").lower() == "keep-alive":
            self._response, self._received, self._was_used = None, b"", True

    def _expire(self) -> None:
        self._fail(TimeoutError("no response in time"))

    def _loss(self) -> ConnectionError:
        is_stale = self._was_used and not self._received
        if is_stale:
            return StaleConnection()
        return ConnectionError("the connection ended before the response")

    def _fail(self, error: Exception) -> None:
        self.abort()
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)
