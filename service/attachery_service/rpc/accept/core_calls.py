"""Calls as gRPC's extension module hands them over, before their message is read.

The names of `cygrpc` used here are not public; `is_usable` checks that this version has them. Part
of `PrefetchingServer`: `accept_prefetch` states the gain, the versions and the switch.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from attachery_service.rpc.accept.refusals import Refusal
from attachery_service.rpc.context import (
    PREVIOUS_ATTEMPTS_KEY,
    REQUEST_ID_KEY,
    attempt_of,
    request_id_of,
)

_USED = (
    "_RequestCallError",
    "_ServicerContext",
    "_handle_rpc",
    "_schedule_rpc_coro",
    "_send_error_status_from_server",
    "InternalError",
    "SendInitialMetadataOperation",
)

# Requests for calls that are open in the core, per method: without one, a call waits in the core.
_FEWEST_OPEN = 8
_MOST_OPEN = 1024


def is_usable() -> bool:
    return all(hasattr(cygrpc, name) for name in _USED)


def _ignore(*_: object) -> None:
    pass


class ArrivedCall:
    """A call before its message is read. `task` answers it, once it has been started."""

    __slots__ = ("_context", "_loop", "is_refused", "method", "state", "task")

    def __init__(self, method: str, state: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.method = method
        self.state = state
        self.is_refused = False
        self.task: asyncio.Task[None] | None = None
        self._loop = loop
        self._context = cygrpc._ServicerContext(state, None, None, loop)

    def remaining(self) -> float:
        """Seconds until the caller's deadline; 0 once it has passed."""
        seconds: float | None = self._context.time_remaining()
        return math.inf if seconds is None else seconds

    def is_answered(self) -> bool:
        """Whether a status has been sent, or is being sent."""
        return self.is_refused or self._context.done()

    def is_open(self) -> bool:
        """Whether gRPC still has the call, which it releases at the end of the task."""
        return self.task is None or not self.task.done()

    def refuse(self, refusal: Refusal, done: Callable[[Any], None] = _ignore) -> None:
        """Answers the call, which must be open, without its message.

        Calls `done` once the status is sent, unless the caller has left.
        """
        self.is_refused = True
        metadata = dict(self._context.invocation_metadata())
        trailers = refusal.trailers(
            request_id_of(metadata.get(REQUEST_ID_KEY)),
            attempt_of(metadata.get(PREVIOUS_ATTEMPTS_KEY)),
        )
        headers = cygrpc.SendInitialMetadataOperation((), 0)
        answer = (refusal.number, refusal.message, trailers, headers, self._loop)
        drive(cygrpc._send_error_status_from_server(self.state, *answer), done)


@dataclass(slots=True)
class OpenRequests:
    """The requests for calls of one method that are open in the core."""

    method: bytes
    name: str
    is_exempt: bool
    open: int = 0
    wanted: int = _FEWEST_OPEN
    is_refilling: bool = False
    is_retrying: bool = False

    def missing(self) -> int:
        """The number of requests to open.

        Doubles the wanted number if more than half were used in one iteration of the event loop,
        and halves it if few were.
        """
        used = self.wanted - self.open
        if used > self.wanted // 2:
            self.wanted = min(self.wanted * 2, _MOST_OPEN)
        elif used < self.wanted // 8:
            self.wanted = max(self.wanted // 2, _FEWEST_OPEN)
        return max(self.wanted - self.open, 0)


def drive(
    operation: Coroutine[Any, Any, Any],
    done: Callable[[Any], None] = _ignore,
    failed: Callable[[], None] = _ignore,
) -> None:
    """Runs a coroutine of gRPC that awaits one event of its core, without a task.

    A task would take two more iterations of the event loop. Calls `done` with the result, or
    `failed` if the core refuses the operation. Most operations fail because the caller has left or
    the server has ended, and need no `failed`.
    """
    try:
        future = operation.send(None)
    except cygrpc.InternalError:
        failed()
        return
    future._asyncio_future_blocking = False
    future.add_done_callback(partial(_resume, operation, done, failed))


def _resume(
    operation: Coroutine[Any, Any, Any],
    done: Callable[[Any], None],
    failed: Callable[[], None],
    _future: asyncio.Future[None],
) -> None:
    try:
        operation.send(None)
    except StopIteration as end:
        done(end.value)
    except (cygrpc.InternalError, cygrpc._RequestCallError):
        failed()
