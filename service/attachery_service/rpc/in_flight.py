"""The calls and streams in progress on this server, each with its caller's address."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from attachery_service.rpc.context import ServicerContext
from attachery_service.rpc.sockets import Peer, peer_of


class InFlight:
    """Keeps each call and stream until gRPC has sent its status, or its caller has left."""

    def __init__(self) -> None:
        self._calls: dict[ServicerContext, tuple[asyncio.Task[object] | None, str]] = {}
        self._streams: dict[ServicerContext, tuple[asyncio.Event, str]] = {}
        self.is_cut_off = False

    @property
    def calls(self) -> int:
        """The number of calls in progress."""
        return len(self._calls)

    def begin(self, context: ServicerContext, peer: str) -> None:
        """Adds a call, from the task that answers it. `peer`: its caller's address."""
        self._calls[context] = (asyncio.current_task(), peer)
        # The typings name a class where gRPC takes any callable.
        context.add_done_callback(self._forget)  # type: ignore[arg-type]

    def begin_stream(self, context: ServicerContext, peer: str) -> asyncio.Event:
        """Adds a stream without an end of its own. It must end when the returned event is set."""
        ending = asyncio.Event()
        self._streams[context] = (ending, peer)
        # The typings name a class where gRPC takes any callable.
        context.add_done_callback(self._forget)  # type: ignore[arg-type]
        return ending

    def busy_peers(self) -> set[Peer]:
        """The addresses of callers with calls in progress."""
        return {peer_of(peer) for _, peer in self._calls.values()}

    def streaming_peers(self) -> set[Peer]:
        """The addresses of callers with open streams."""
        return {peer_of(peer) for _, peer in self._streams.values()}

    def end_streams(self, peers: Container[Peer] | None = None) -> None:
        """Ends the streams of these callers, by default all of them, with status OK."""
        for ending, peer in self._streams.values():
            if peers is None or peer_of(peer) in peers:
                ending.set()

    def cut_off(self) -> None:
        """Cancels all calls in progress; `is_cut_off` marks them as cut off by the server."""
        self.is_cut_off = True
        for task, _ in self._calls.values():
            if task is not None:
                task.cancel()

    def _forget(self, context: ServicerContext) -> None:
        self._calls.pop(context, None)
        self._streams.pop(context, None)
