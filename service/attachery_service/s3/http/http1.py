"""HTTP/1.1 as far as a HEAD needs it: one connection, and which answers on it are believed.

An answer is a status line and fields that end in an empty line, with not a byte behind it. Anything
else is refused and ends the connection: what is still to come on it could be taken for the answer
to somebody else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias, cast

from attachery_service.s3.http.headers import ENCODING, READ_HEADERS

_END: Final = b"\r\n\r\n"
# S3 takes 8 KB of headers from an uploader. The SDK reads longer responses.
_MOST_BYTES: Final = 32 * 1024
_VALUE: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*"
# No 1xx: after it, the answer itself would be left to the next caller.
_ANSWER: Final = re.compile(
    rf"HTTP/1\.1 ([2-5][0-9]{{2}})(?: {_VALUE})?\r\n"
    rf"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:{_VALUE}\r\n)*)\r\n"
)


class Answer(NamedTuple):
    """`headers` holds READ_HEADERS only, their names in lower case."""

    status: int
    headers: Mapping[str, str]


class Stale(ConnectionError):
    """A connection that was of use before has ended without a byte of this answer."""


def head_request(path: str, headers: Mapping[str, str]) -> bytes:
    """`path` is percent-encoded; `headers` are all there are, Host among them."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"HEAD {path} HTTP/1.1\r\n{fields}\r\n".encode()


def parsed(answer: bytes) -> Answer:
    """Parse a whole response to a HEAD. Raises ValueError if it is not plain.

    Only a header that is read may not repeat: some servers write `Vary` over several lines, and an
    uploader may repeat metadata.
    """
    found = _ANSWER.fullmatch(answer.decode(ENCODING))
    if found is None:
        raise ValueError("no plain answer")
    headers: dict[str, str] = {}
    for line in found[2].split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name not in READ_HEADERS:
            continue
        if name in headers:
            raise ValueError("a header is there twice")
        headers[name] = value.strip(" \t")
    return Answer(int(found[1]), headers)


Lost: TypeAlias = Callable[["Connection"], None]


class Connection(asyncio.Protocol):
    """One HEAD at a time. `patience`: seconds for a whole answer. `lost` is told of its end.

    `idle_since` belongs to whoever keeps it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float, lost: Lost) -> None:
        self.idle_since = 0.0
        self._loop = loop
        self._patience = patience
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._received = b""
        self._used = False

    @property
    def is_free(self) -> bool:
        """Whether it is open, the last answer was read whole, and none was to be the last."""
        return self._answer is None and self._transport is not None

    def head(self, request: bytes) -> asyncio.Future[Answer]:
        """Raises ValueError if the answer is not plain, TimeoutError, Stale, ConnectionError."""
        self._answer = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            self._fail(self._loss())
        else:
            self._timer = self._loop.call_later(self._patience, self._expire)
            self._transport.write(request)
        return self._answer

    def end(self) -> None:
        """At once, whatever is under way."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._fail(self._loss())
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.end()  # nobody asked
            return
        self._received += data
        if len(self._received) > _MOST_BYTES:
            self._fail(ValueError("no end of the answer"))
        elif _END in self._received:
            self._settle(self._answer)

    def _settle(self, asked: asyncio.Future[Answer]) -> None:
        try:
            answer = parsed(self._received)
        except ValueError as error:
            self._fail(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        if not asked.done():
            asked.set_result(answer)
        if answer.headers.get("connection", "keep-alive").lower() == "keep-alive":
            self._answer, self._received, self._used = None, b"", True

    def _expire(self) -> None:
        self._fail(TimeoutError("no answer in time"))

    def _loss(self) -> ConnectionError:
        stale = self._used and not self._received
        return Stale() if stale else ConnectionError("the connection ended before the answer")

    def _fail(self, error: Exception) -> None:
        self.end()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
