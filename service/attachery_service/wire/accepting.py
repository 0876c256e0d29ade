"""A gRPC server that accepts calls as they arrive and refuses those it cannot answer in time.

`grpc.aio` takes one call from its core at a time, two rounds of the event loop each. Under load
calls queue in the core, unseen, and are started after their callers have given up. This server
keeps several requests per method open in the core and decides on each call as soon as it arrives:
it starts an admitted call as `grpc.aio` does, and answers any other with a prepared status, without
a task, without reading the message. A refusal takes a third of the CPU time of an echo, an admitted
call a fifth less than in `grpc.aio`.

This uses names of gRPC's extension module that are not public. Where one is missing (gRPC before
1.84, or one that is yet to come), the server is gRPC's own, and the interceptor refuses calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from attachery_service.wire.admission import Admission, is_exempt
from attachery_service.wire.call import REQUEST_ID_KEY, request_id_of
from attachery_service.wire.refusals import TOO_LATE, Refusal

# Requests open in the core, for each method.
_AHEAD = 16
# Nothing can be done for a call in less time, in seconds.
_TOO_LITTLE = 0.02

_STOCK: Any = cygrpc.AioServer
_USED = ("_handle_rpc", "_schedule_rpc_coro", "_send_error_status_from_server", "_ServicerContext")
_USED_OF_SERVER = ("_make_request_call_future", "add_registered_method_handlers")


def can_ask_ahead() -> bool:
    return all(hasattr(cygrpc, name) for name in _USED) and all(
        hasattr(_STOCK, name) for name in _USED_OF_SERVER
    )


def new_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    options: Sequence[tuple[str, Any]],
    admission: Admission,
    *,
    ahead: bool,
) -> grpc.aio.Server:
    """A server on the running loop; `ahead`: that accepts calls by itself, if it can."""
    if not (ahead and can_ask_ahead()):
        return grpc.aio.server(interceptors=interceptors, options=options)
    with _made_as(partial(_AskingAhead, admission, tuple(interceptors))):
        return grpc.aio.server(interceptors=interceptors, options=options)


def asks_ahead(server: grpc.aio.Server) -> bool:
    return isinstance(getattr(server, "_server", None), _AskingAhead)


async def stop_asking(server: grpc.aio.Server) -> None:
    """Right before a server stops: calls that its core hands over later are not started."""
    inner = getattr(server, "_server", None)
    if isinstance(inner, _AskingAhead):
        inner.stop_asking()


class _AskingAhead(_STOCK):  # type: ignore[misc]
    """Accepts the calls of registered methods; the stock server answers unknown methods."""

    def __init__(
        self,
        admission: Admission,
        interceptors: tuple[grpc.aio.ServerInterceptor, ...],
        loop: asyncio.AbstractEventLoop,
        *arguments: Any,
    ) -> None:
        super().__init__(loop, *arguments)
        self._admission = admission
        self._own_interceptors = interceptors
        self._own_loop = loop
        self._handlers: dict[str, Any] = {}
        self._resolver = cygrpc._MethodResolver([], self._handlers)
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    def add_registered_method_handlers(self, handlers: Mapping[str, Any]) -> None:
        super().add_registered_method_handlers(handlers)
        self._handlers.update(handlers)

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """What the stock server waits for next: for ever, if calls of the method are taken here."""
        if method is None:
            stock: asyncio.Future[Any] = super()._make_request_call_future(None)
            return stock
        for _ in range(_AHEAD):
            self._ask(method, method.decode())
        return self._own_loop.create_future()

    def stop_asking(self) -> None:
        self._stopping = True

    def _ask(self, method: bytes, name: str) -> None:
        future = super()._make_request_call_future(method)
        future.add_done_callback(partial(self._accept, method, name))

    def _accept(self, method: bytes, name: str, future: asyncio.Future[Any]) -> None:
        """Starts or refuses a call. At the end of the server all requests fail."""
        if future.cancelled() or future.exception() is not None:
            return
        if not self._stopping:
            self._ask(method, name)
        state = future.result()
        if is_exempt(name):
            self._start(state, name)
            return
        context = cygrpc._ServicerContext(state, None, None, self._own_loop)
        refusal = self._refusal(context)
        if refusal is None:
            slot = self._admission.admit(name)
            self._start(state, name).add_done_callback(lambda _: slot.release())
        else:
            self._refuse(state, context, refusal)

    def _refusal(self, context: Any) -> Refusal | None:
        remaining = context.time_remaining()
        if remaining is not None and remaining < _TOO_LITTLE:
            return TOO_LATE
        return self._admission.refusal()

    def _start(self, state: Any, name: str) -> asyncio.Task[None]:
        loop = self._own_loop
        call = cygrpc._handle_rpc(name, self._resolver, self._own_interceptors, state, loop, False)
        return self._spawn(cygrpc._schedule_rpc_coro(call, state, loop, name))

    def _refuse(self, state: Any, context: Any, refusal: Refusal) -> None:
        self._admission.count(refusal)
        request_id = request_id_of(dict(context.invocation_metadata()).get(REQUEST_ID_KEY))
        headers = cygrpc.SendInitialMetadataOperation((), 0)
        answer = (refusal.number, refusal.message, refusal.trailers(request_id), headers)
        self._spawn(_sent(cygrpc._send_error_status_from_server(state, *answer, self._own_loop)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._own_loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _sent(sending: Coroutine[Any, Any, None]) -> None:
    with suppress(cygrpc.ExecuteBatchError):  # the caller has left
        await sending


@contextmanager
def _made_as(kind: Any) -> Iterator[None]:
    cygrpc.AioServer = kind
    try:
        yield
    finally:
        cygrpc.AioServer = _STOCK
