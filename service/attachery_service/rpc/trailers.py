"""The trailing metadata of responses and errors."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from google.rpc import status_pb2

from attachery_service.domain.errors import AttacheryError
from attachery_service.domain.rates import Allowance
from attachery_service.rpc.context import ATTEMPT_KEY, REQUEST_ID_KEY, CallContext

STATUS_DETAILS_KEY = "grpc-status-details-bin"

Trailers = tuple[tuple[str, str | bytes], ...]


def trailers_of(
    call: CallContext, error: AttacheryError | None = None, status: status_pb2.Status | None = None
) -> Trailers:
    trailers: Trailers = ((REQUEST_ID_KEY, call.request_id), (ATTEMPT_KEY, str(call.attempt)))
    if call.allowance is not None:
        trailers += _rate_limit(call.allowance)
    if error is not None and error.retry_after is not None:
        trailers += (("retry-after", str(_whole_seconds(error.retry_after))),)
    if status is not None:
        trailers += ((STATUS_DETAILS_KEY, status.SerializeToString()),)
    return trailers


def _rate_limit(allowance: Allowance) -> Trailers:
    reset = math.ceil(time.time() + allowance.wait.total_seconds())
    return (
        ("x-ratelimit-limit", str(allowance.limit.calls)),
        ("x-ratelimit-remaining", str(allowance.remaining)),
        ("x-ratelimit-reset", str(reset)),
    )


def _whole_seconds(wait: timedelta) -> int:
    return max(math.ceil(wait.total_seconds()), 1)
