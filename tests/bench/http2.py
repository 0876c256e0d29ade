"""A minimal HTTP/2 client, which calls a gRPC server at a tenth of a gRPC library's cost.

The measured server shares the machine with its callers. So requests are bytes made beforehand, and
of a response only its end is read: the trailing header block, which has `grpc-status` as plain text
because the client disables indexing.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from bench.hpack import Headers, HeaderWriter

_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _RST_STREAM = 0, 1, 4, 6, 7, 8, 3
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65_535
_LARGEST_FRAME: Final = 16_384
_TABLE_SIZE_SETTING, _WINDOW_SETTING = 1, 4
_OK: Final = b"\x0bgrpc-status\x010"


class CallFailedError(Exception):
    """The call failed or was not answered."""


@dataclass(frozen=True, slots=True)
class Request:
    """A unary call: the method's full name, the credential, the message as a gRPC frame."""

    headers: Headers
    body: bytes


def request(method: str, message: bytes, api_key: str = "") -> Request:
    """`method` as in `/package.Service/Method`."""
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-bench"),
        ("grpc-timeout", "60S"),
        *((("authorization", f"Bearer {api_key}"),) if api_key else ()),
    )
    return Request(headers, b"\x00" + struct.pack(">I", len(message)) + message)


@dataclass(slots=True)
class _Answer:
    done: asyncio.Future[bytes]
    body: list[bytes] = field(default_factory=list)


class GrpcConnection(asyncio.Protocol):
    """One connection for any number of calls at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answers: dict[int, _Answer] = {}
        self._next_stream = 1
        self._headers = HeaderWriter()
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._stream_windows: dict[int, int] = {}
        self._waiting: list[tuple[int, bytes]] = []
        self._received = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call(self, request: Request) -> bytes:
        """Returns the response message. Raises CallFailedError."""
        stream = self._next_stream
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._next_stream += 2
        self._answers[stream] = _Answer(done)
        block = self._headers.block(request.headers)
        head = _frame(_HEADERS, _END_HEADERS, stream, block)
        if (
            len(request.body) <= _LARGEST_FRAME
            and len(request.body) <= self._window
            and (len(request.body) <= self._stream_window and not self._waiting)
        ):
            self._window -= len(request.body)
            self._write(head + _frame(_DATA, _END_STREAM, stream, request.body))
        else:
            self._write(head)
            self._stream_windows[stream] = self._stream_window
            self._waiting.append((stream, request.body))
            self._send_waiting()
        return await done

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HIHI", _TABLE_SIZE_SETTING, 0, _WINDOW_SETTING, _LARGEST_WINDOW)
        more = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self._write(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, more)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        lost = CallFailedError(f"the connection was lost: {exc}")
        for answer in self._answers.values():
            if not answer.done.done():
                answer.done.set_exception(lost)
        self._answers.clear()
        if not self.ready.done():
            self.ready.set_exception(lost)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        start, end = 0, len(buffer)
        while end - start >= 9:
            length = int.from_bytes(buffer[start : start + 3], "big")
            stop = start + 9 + length
            if stop > end:
                break
            stream = int.from_bytes(buffer[start + 5 : start + 9], "big")
            self._frame_received(
                buffer[start + 3], buffer[start + 4], stream, buffer[start + 9 : stop]
            )
            start = stop
        self._buffer = buffer[start:]

    def _frame_received(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._take(stream, payload)
        elif kind == _HEADERS:
            if flags & _END_STREAM:
                self._end(stream, payload)
        elif kind == _SETTINGS:
            if not flags & _ACK:
                self._set(payload)
        elif kind == _PING:
            if not flags & _ACK:
                self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload, "big"))
        elif kind == _RST_STREAM:
            self._fail(stream, f"reset by the server ({int.from_bytes(payload, 'big')})")

    def _take(self, stream: int, payload: bytes) -> None:
        answer = self._answers.get(stream)
        if answer is not None:
            answer.body.append(payload)
        self._received += len(payload)
        if self._received > _LARGEST_WINDOW // 2:
            self._write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received)))
            self._received = 0

    def _end(self, stream: int, block: bytes) -> None:
        if _OK not in block:
            self._fail(stream, _explained(block))
            return
        answer = self._answers.pop(stream, None)
        if answer is not None and not answer.done.done():
            body = answer.body[0] if len(answer.body) == 1 else b"".join(answer.body)
            answer.done.set_result(body[5:])

    def _fail(self, stream: int, why: str) -> None:
        answer = self._answers.pop(stream, None)
        self._waiting = [(other, rest) for other, rest in self._waiting if other != stream]
        if answer is not None and not answer.done.done():
            answer.done.set_exception(CallFailedError(why))

    def _set(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _WINDOW_SETTING:
                grown = value - self._stream_window
                self._stream_window = value
                for stream in self._stream_windows:
                    self._stream_windows[stream] += grown
        self._write(_frame(_SETTINGS, _ACK, 0, b""))
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_waiting()

    def _widen(self, stream: int, by: int) -> None:
        if stream == 0:
            self._window += by
        elif stream in self._stream_windows:
            self._stream_windows[stream] += by
        self._send_waiting()

    def _send_waiting(self) -> None:
        """Sends as much of the long messages as the server permits, the oldest first."""
        left = []
        for stream, body in self._waiting:
            rest = body
            while (
                rest
                and (
                    room := min(
                        self._window, self._stream_windows[stream], _LARGEST_FRAME, len(rest)
                    )
                )
                > 0
            ):
                piece, rest = rest[:room], rest[room:]
                self._window -= room
                self._stream_windows[stream] -= room
                self._write(_frame(_DATA, 0 if rest else _END_STREAM, stream, piece))
            if rest:
                left.append((stream, rest))
            else:
                del self._stream_windows[stream]
        self._waiting = left

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def connect(host: str, port: int, count: int) -> Sequence[GrpcConnection]:
    """Opens `count` connections, each after the server's settings have arrived."""
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(count):
        _, connection = await loop.create_connection(GrpcConnection, host, port)
        await connection.ready
        connections.append(connection)
    return connections


def _explained(block: bytes) -> str:
    """Reads code and message of trailers, which are plain text if they are short."""
    return ": ".join(_text_after(name, block) for name in (b"grpc-status", b"grpc-message"))


def _text_after(name: bytes, block: bytes) -> str:
    _, found, rest = block.partition(name)
    return rest[1 : 1 + rest[0]].decode(errors="replace") if found else "?"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload
