"""A call on its way through the pipeline, and the interfaces of the steps."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from attachery_service.domain.errors import AttacheryError
from attachery_service.rpc.accept.admission import Slot
from attachery_service.rpc.accept.refusals import Refusal
from attachery_service.rpc.context import CallContext, PlainStatusError, ServicerContext


@dataclass(slots=True, kw_only=True, eq=False)
class Call(CallContext):
    """The context of a call, and its state in the pipeline.

    `request`: its bytes until they are parsed; the messages' iterator if the client streams them.
    `repeated`: the metadata keys that occur more than once. `slot`: its place among the calls in
    progress, None for methods without admission. `refusal`: the answer of a call that was not
    admitted; without one, it was refused while it waited for its message. `code` stays CANCELLED
    until the call is answered. `started` and `seconds`: by the performance counter.
    """

    rpc: ServicerContext
    request: Any
    credential: str | None = None
    repeated: Collection[str] = ()
    slot: Slot | None = None
    is_admitted: bool = True
    refusal: Refusal | None = None
    response: bytes | None = None
    error: AttacheryError | PlainStatusError | None = None
    code: grpc.StatusCode = grpc.StatusCode.CANCELLED
    reason: str = ""
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0


class Step(Protocol):
    """A step that may wait for something. It gets the calls that have not failed before it."""

    async def process(self, calls: Sequence[Call]) -> None: ...


class ImmediateStep(Protocol):
    """A step that waits for nothing. The last ones run for cancelled calls too."""

    def process(self, calls: Sequence[Call]) -> None: ...
