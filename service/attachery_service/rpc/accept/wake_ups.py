"""Fewer wake-ups between gRPC's poller thread and the event loop.

For each event of its core, `grpc.aio` writes a byte to a socket pair, and the event loop reads one
byte per iteration, in which it handles all events. Under load hundreds of bytes accumulate: each
costs an iteration of the loop, and the poller's thread blocks when the socket is full, after 278
bytes. It then reads no connection, so health checks and refusals by gRPC itself took seconds.

A byte is needed only if the socket has no unread one, so the writing end is made non-blocking and
as small as the system permits: 6 bytes on Linux. The poller's thread ignores a failed write, and
the unread bytes make the loop handle the event that was queued before.

Gain: under overload a health check took 2 s, and takes 230 ms at most (`make bench ONLY=overload`,
one process, 128 connections). Part of `PrefetchingServer`: `accept_prefetch` states the versions
and the switch.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def coalesced_wake_ups() -> Iterator[None]:
    """Makes gRPC's socket pair small.

    gRPC creates the pair at its first use in the process, which must happen within the block; later
    the block has no effect.
    """
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
