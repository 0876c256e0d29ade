"""Step `parsing`: decodes the request message.

gRPC's library would answer malformed bytes with UNKNOWN and internal details, so it is set to pass
requests on undecoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from attachery_service.domain.errors import MalformedRequest, Violation
from attachery_service.domain.validation import invalid
from attachery_service.rpc.context import REQUEST_ID_KEY
from attachery_service.rpc.pipeline.calls import Call


@dataclass(frozen=True, slots=True)
class Parsing:
    """Replaces the bytes of each request by its message."""

    parse: Callable[[bytes], Any]

    async def process(self, calls: Sequence[Call]) -> None:
        for call in calls:
            if REQUEST_ID_KEY in call.repeated:
                rule = "must be in the metadata once at most"
                call.error = invalid([Violation(REQUEST_ID_KEY, "INVALID_REQUEST_ID", rule)])
                continue
            try:
                call.request = self.parse(call.request)
            except DecodeError as error:
                call.error = MalformedRequest()
                call.error.__cause__ = error
