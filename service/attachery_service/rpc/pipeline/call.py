"""Step `call`: runs the servicer's method.

Calls run one after the other: gRPC passes them on one at a time, so a list has one call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from attachery_service.domain.errors import AttacheryError
from attachery_service.rpc.context import CallContext, PlainStatusError
from attachery_service.rpc.pipeline.calls import Call

UnaryMethod = Callable[[Any, CallContext], Awaitable[Message | bytes]]


@dataclass(frozen=True, slots=True)
class UnaryCall:
    """Fills in the encoded response."""

    method: UnaryMethod

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            try:
                response = await self.method(call.request, call)
            except (AttacheryError, PlainStatusError) as error:
                call.error = error
                continue
            # A servicer may encode its response itself.
            if isinstance(response, bytes):
                call.response = response
            else:
                call.response = response.SerializeToString()
            call.code = grpc.StatusCode.OK
