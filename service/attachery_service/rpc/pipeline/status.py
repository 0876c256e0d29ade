"""Step `status`: determines the status code of a call, and its response or error status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from attachery_service.domain.errors import AttacheryError
from attachery_service.rpc.pipeline.calls import Call
from attachery_service.rpc.status import code_of, to_status
from attachery_service.rpc.trailers import trailers_of


class SetStatus:
    """Sets the code, the reason of a failure, and the time that the call took."""

    def process(self, calls: Sequence[Call]) -> None:
        now = time.perf_counter()
        for call in calls:
            call.seconds = now - call.started
            if isinstance(call.error, AttacheryError):
                call.code, call.reason = code_of(call.error), call.error.reason
            elif call.error is not None:
                call.code = call.error.code


async def answer(call: Call) -> None:
    """Sets the trailing metadata of a call that succeeded, and answers any other with its status.

    Raises AbortError for a call that failed, and CancelledError for one that was answered before:
    gRPC sends nothing more then.
    """
    if call.refusal is not None:
        trailers = call.refusal.trailers(call.request_id, call.attempt)
        await call.rpc.abort(call.refusal.code, call.refusal.message, trailers)
    elif not call.is_admitted:
        raise asyncio.CancelledError
    elif call.error is None:
        call.rpc.set_trailing_metadata(trailers_of(call))
    elif isinstance(call.error, AttacheryError):
        status = to_status(call.error, call.request_id, call.docs_url)
        trailers = trailers_of(call, call.error, status)
        await call.rpc.abort(call.code, call.error.message, trailers)
    else:
        await call.rpc.abort(call.code, call.error.message, trailers_of(call))
