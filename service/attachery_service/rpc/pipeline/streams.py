"""Step `call` of streams, and their registration: the server ends open streams when it stops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from attachery_service.domain.errors import AttacheryError
from attachery_service.rpc.context import CallContext, PlainStatusError
from attachery_service.rpc.in_flight import InFlight
from attachery_service.rpc.pipeline.calls import Call

StreamingMethod = Callable[[Any, CallContext], AsyncGenerator[Message, None]]


@dataclass(frozen=True, slots=True)
class TrackStreams:
    """Registers each stream, which must end when its `ending` is set."""

    in_flight: InFlight

    def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            call.ending = self.in_flight.begin_stream(call.rpc, call.peer)


@dataclass(frozen=True, slots=True)
class StreamingCall:
    """Sends each response as the servicer yields it."""

    method: StreamingMethod

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            try:
                await self._send(call)
            except (AttacheryError, PlainStatusError) as error:
                call.error = error
            else:
                call.code = grpc.StatusCode.OK

    async def _send(self, call: Call) -> None:
        async with aclosing(self.method(call.request, call)) as responses:
            async for response in responses:
                await call.rpc.write(response.SerializeToString())
