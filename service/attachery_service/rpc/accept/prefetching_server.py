"""A gRPC server that accepts calls ahead of gRPC's own loop and refuses them under overload.

`grpc.aio` takes one call at a time from its core, in two iterations of the event loop. Under load,
calls queue in the core and are started after their callers have given up. This server keeps several
requests for calls of each method open in the core and decides on each call as it arrives: it starts
an admitted call as `grpc.aio` does, and answers any other with a prepared status, without a task
and without the message.

Gain: a refusal takes a third of the CPU time of a Get, 65 µs in the event loop. It uses names of
gRPC's extension module that are not public; `accept_prefetch` checks that this version has them,
and states the versions and the switch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from attachery_service.rpc.accept.admission import Admission, Slot, is_exempt
from attachery_service.rpc.accept.core_calls import ArrivedCall, OpenRequests, drive
from attachery_service.rpc.accept.held_streams import HeldStreams
from attachery_service.rpc.accept.refusals import Refusal
from attachery_service.rpc.accept.unread_calls import UnreadCalls

# No call can be answered in less time, in seconds.
_TOO_LITTLE = 0.02
# The pause before the server replaces requests that the core has failed, in seconds.
_RETRY_SECONDS = 0.1
# Refusals in one iteration of the event loop. They take 2 ms, in which no other call progresses.
_DECIDED_PER_ROUND = 32

STOCK: Any = cygrpc.AioServer


class PrefetchingServer(STOCK):  # type: ignore[misc]
    """Accepts the calls of registered methods; gRPC's own server those of unknown methods."""

    def __init__(
        self,
        admission: Admission,
        max_call_time: float,
        loop: asyncio.AbstractEventLoop,
        *arguments: Any,
    ) -> None:
        super().__init__(loop, *arguments)
        self._admission, self._refusals = admission, admission.refusals
        self._own_loop = loop
        self._handlers: dict[str, Any] = {}
        self._resolver = cygrpc._MethodResolver([], self._handlers)
        self._stopping = False
        self._waiting: deque[ArrivedCall] = deque()
        self._held = HeldStreams(loop)
        self._unread = UnreadCalls(loop, admission, max_call_time, self._refuse)
        self._tasks: set[asyncio.Task[None]] = set()

    def add_registered_method_handlers(self, handlers: Mapping[str, Any]) -> None:
        super().add_registered_method_handlers(handlers)
        self._handlers.update(handlers)

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """The next call for gRPC's own loop; never done for a method whose calls this accepts."""
        if method is None:
            stock: asyncio.Future[Any] = super()._make_request_call_future(None)
            return stock
        name = method.decode()
        self._refill(OpenRequests(method, name, is_exempt(name)))
        return self._own_loop.create_future()

    def refuse_unread(self) -> None:
        self._unread.look()

    def stop_prefetching(self) -> None:
        self._stopping = True

    def _refill(self, requests: OpenRequests) -> None:
        """Replaces the requests that were used in this iteration of the event loop."""
        requests.is_refilling = False
        if self._stopping:
            return
        count = requests.missing()
        requests.open += count
        accept, failed = partial(self._accept, requests), partial(self._replace_later, requests)
        for _ in range(count):
            drive(self._request_registered_call(requests.method), accept, failed)

    def _replace_later(self, requests: OpenRequests) -> None:
        """Replaces a request that the core has failed, after a pause, as the next may fail too."""
        requests.open -= 1
        if not (requests.is_retrying or self._stopping):
            requests.is_retrying = True
            self._own_loop.call_later(_RETRY_SECONDS, self._replace, requests)

    def _replace(self, requests: OpenRequests) -> None:
        requests.is_retrying = False
        self._refill(requests)

    def _accept(self, requests: OpenRequests, state: Any) -> None:
        """Starts a call, or queues it for `_decide`."""
        requests.open -= 1
        if not requests.is_refilling:
            requests.is_refilling = True
            self._own_loop.call_soon(self._refill, requests)
        call = ArrivedCall(requests.name, state, self._own_loop)
        if requests.is_exempt:
            self._start(call)
        elif not self._waiting and self._admission.refusal() is None:
            self._admit(call, _TOO_LITTLE)
        else:
            if not self._waiting:
                self._own_loop.call_soon(self._decide)
            self._waiting.append(call)

    def _decide(self) -> None:
        """Admits or refuses the calls that found no place, the newest first.

        The newest have the best chance to be answered in time ("adaptive LIFO": Maurer, "Fail at
        Scale", ACM Queue 13/8, 2015). An expired call costs almost nothing: the core has answered
        it.
        """
        waiting = self._waiting
        try:
            while waiting and waiting[0].remaining() == 0:
                self._expire(waiting.popleft())
            for _ in range(min(_DECIDED_PER_ROUND, len(waiting))):
                self._decide_on(waiting.pop())
        finally:
            if waiting:
                self._own_loop.call_soon(self._decide)

    def _expire(self, call: ArrivedCall) -> None:
        self._admission.count(self._refusals.too_late)
        self._held.hold(call.state)

    def _decide_on(self, call: ArrivedCall) -> None:
        refusal = self._admission.refusal()
        if refusal is None:
            self._admit(call, max(_TOO_LITTLE, self._admission.usual_time(call.method)))
        else:
            self._refuse(call, refusal)

    def _admit(self, call: ArrivedCall, needed: float) -> None:
        """Starts a call, unless its caller's deadline is sooner than it can be answered."""
        if call.remaining() < needed:
            self._refuse(call, self._refusals.too_late)
            return
        slot = self._admission.admit(call.method, call)
        self._unread.add(slot)
        self._start(call).add_done_callback(partial(self._end, slot))

    def _start(self, call: ArrivedCall) -> asyncio.Task[None]:
        work, loop = self._work(call), self._own_loop
        task = loop.create_task(cygrpc._schedule_rpc_coro(work, call.state, loop, call.method))
        call.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self, call: ArrivedCall) -> None:
        """Answers a call. Also one that ends without a message, for which gRPC sends no status."""
        loop = self._own_loop
        await cygrpc._handle_rpc(call.method, self._resolver, (), call.state, loop, False)
        if not call.is_answered():
            refusal = self._refusals.no_message
            call.refuse(refusal, lambda _: self._admission.count(refusal))

    def _end(self, slot: Slot, _task: asyncio.Task[None]) -> None:
        slot.unread = None
        slot.release()
        self._held.answered(len(self._waiting))

    def _refuse(self, call: ArrivedCall, refusal: Refusal) -> None:
        self._admission.count(refusal)
        # Other refusals do not predict that later calls on the same connection are refused.
        if refusal is self._refusals.overloaded:
            self._held.hold(call.state)
        if call.remaining() > 0:
            call.refuse(refusal)
