"""The calls and streams of this server that are not over yet, each with its caller's address."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from attachery_service.rpc.context import ServicerContext
from attachery_service.rpc.sockets import Peer, peer_of


class InFlight:
    """A call or stream stays until gRPC has sent its status, or its caller has left."""

    def __init__(self) -> None:
        self._calls: dict[ServicerContext, tuple[asyncio.Task[object] | None, str]] = {}
        self._streams: dict[ServicerContext, tuple[asyncio.Event, str]] = {}
        self.is_cut_off = False

    @property
    def calls(self) -> int:
        """How many calls are at work."""
        return len(self._calls)

    def begin(self, context: ServicerContext, peer: str) -> None:
        """Notes a call, in the task that answers it. `peer` as gRPC names it."""
        self._calls[context] = (asyncio.current_task(), peer)
        # The typings name a class where gRPC takes any callable.
        context.add_done_callback(self._forget)  # type: ignore[arg-type]

    def begin_stream(self, context: ServicerContext, peer: str) -> asyncio.Event:
        """Notes a stream without an end of its own; it must end when the event is set."""
        ending = asyncio.Event()
        self._streams[context] = (ending, peer)
        # The typings name a class where gRPC takes any callable.
        context.add_done_callback(self._forget)  # type: ignore[arg-type]
        return ending

    def busy_peers(self) -> set[Peer]:
        """The callers whose calls are at work."""
        return {peer_of(peer) for _, peer in self._calls.values()}

    def streaming_peers(self) -> set[Peer]:
        """The callers whose streams are open."""
        return {peer_of(peer) for _, peer in self._streams.values()}

    def end_streams(self, peers: Container[Peer] | None = None) -> None:
        """Ends the streams of these callers in order, by default all of them."""
        for ending, peer in self._streams.values():
            if peers is None or peer_of(peer) in peers:
                ending.set()

    def cut_off(self) -> None:
        """Cancels all calls at work; `is_cut_off` tells them that it was not their caller."""
        self.is_cut_off = True
        for task, _ in self._calls.values():
            if task is not None:
                task.cancel()

    def _forget(self, context: ServicerContext) -> None:
        self._calls.pop(context, None)
        self._streams.pop(context, None)
