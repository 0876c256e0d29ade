"""Fewer wake-ups between gRPC's poller thread and the event loop.

For each event of its core `grpc.aio` writes a byte to a socket pair, and the event loop reads one
byte in a round, in which it handles all events. Under load hundreds of bytes pile up: each costs a
round of the loop, and when the socket is full, after 278 of them, the poller's thread waits. It
reads no connection then, so that health checks and refusals by gRPC itself took seconds.

A byte is needed only if none is unread, so the writing end is made non-blocking and as small as the
system permits: 6 bytes on Linux. The poller's thread ignores a failed write, and the unread bytes
make the loop look at the event that it has queued before.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def coalesced_wake_ups() -> Iterator[None]:
    """Within the block gRPC must be used for the first time in this process: it makes its socket
    pair then. Has no effect later."""
    stock = socket.socketpair

    def small_pair(*arguments: Any) -> tuple[socket.socket, socket.socket]:
        reading, writing = stock(*arguments)
        writing.setblocking(False)
        writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        return reading, writing

    socket.socketpair = small_pair  # type: ignore[assignment]
    try:
        yield
    finally:
        socket.socketpair = stock
