"""Prepared statuses for calls that the server refuses before it reads their message.

Under overload most calls are refused, so a refusal must be cheap: all of it except the request id
and the attempt is encoded once. Part of `PrefetchingServer`, which states the CPU time of a
refusal; `accept_prefetch` states the versions and the switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import cycle
from typing import Final

from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from attachery_service.domain.errors import (
    AttacheryError,
    DeadlineExceeded,
    MalformedRequest,
    Overloaded,
    ShuttingDown,
)
from attachery_service.rpc.context import ATTEMPT_KEY, REQUEST_ID_KEY
from attachery_service.rpc.messages.protobuf_wire import length_delimited
from attachery_service.rpc.status import code_of, to_status
from attachery_service.rpc.trailers import STATUS_DETAILS_KEY, Trailers

# gRPC clients wait this long before they retry, instead of their own backoff (gRFC A6).
_PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"

_DELAYS: Final = [timedelta(milliseconds=delay) for delay in (160, 240, 200, 280, 120)]

_DETAILS_FIELD: Final = 3  # of google.rpc.Status
_TYPE_URL_FIELD, _VALUE_FIELD = 1, 2  # of google.protobuf.Any
_REQUEST_ID_FIELD: Final = 1  # of google.rpc.RequestInfo
_REQUEST_INFO: Final = error_details_pb2.RequestInfo.DESCRIPTOR.full_name
_RETRY_INFO: Final = error_details_pb2.RetryInfo.DESCRIPTOR.full_name
_TYPE_URL: Final = length_delimited(
    _TYPE_URL_FIELD, f"type.googleapis.com/{_REQUEST_INFO}".encode()
)


class Refusal:
    """The status of all calls that are refused for one reason.

    `cause`: the label of the metric `attachery_rpcs_shed`. `delays`: for RetryInfo and gRPC's retry
    pushback, used in turn so that callers do not retry simultaneously; empty if a retry is useless.
    """

    def __init__(
        self, error: AttacheryError, cause: str, docs_url: str, delays: Sequence[timedelta] = ()
    ) -> None:
        self.cause = cause
        self.reason = error.reason
        self.code = code_of(error)
        self.number: int = self.code.value[0]
        self.message = error.message
        each: Sequence[timedelta | None] = delays or (None,)
        self._prepared = cycle([_prepared(error, docs_url, delay) for delay in each])

    def trailers(self, request_id: str, attempt: int) -> Trailers:
        """The trailing metadata for a call with this request id of at most 64 characters."""
        info = length_delimited(_REQUEST_ID_FIELD, request_id.encode())
        details = length_delimited(_DETAILS_FIELD, _TYPE_URL + length_delimited(_VALUE_FIELD, info))
        pushback, status = next(self._prepared)
        return (
            (REQUEST_ID_KEY, request_id),
            (ATTEMPT_KEY, str(attempt)),
            *pushback,
            (STATUS_DETAILS_KEY, status + details),
        )


class Refusals:
    """The refusals of one server. `docs_url`: the page that the links in them lead to."""

    def __init__(self, docs_url: str) -> None:
        self.overloaded = Refusal(Overloaded(), "concurrency", docs_url, _DELAYS)
        self.shutting_down = Refusal(ShuttingDown(), "shutdown", docs_url, _DELAYS)
        self.too_late = Refusal(DeadlineExceeded(), "deadline", docs_url)
        self.no_message = Refusal(MalformedRequest(), "message", docs_url)
        self.message_late = Refusal(DeadlineExceeded(), "message", docs_url)


def _prepared(
    error: AttacheryError, docs_url: str, delay: timedelta | None
) -> tuple[Trailers, bytes]:
    """The pushback, and the status without its RequestInfo."""
    status = _without_request_info(error, docs_url, delay).SerializeToString()
    if delay is None:
        return (), status
    return ((_PUSHBACK_KEY, str(delay // timedelta(milliseconds=1))),), status


def _without_request_info(
    error: AttacheryError, docs_url: str, delay: timedelta | None
) -> status_pb2.Status:
    """The status, to which a RequestInfo can be appended: protobuf merges repeated fields."""
    status = to_status(error, request_id="", docs_url=docs_url)
    for detail in list(status.details):
        if detail.TypeName() in (_REQUEST_INFO, _RETRY_INFO):
            status.details.remove(detail)
    if delay is not None:
        retry_delay = duration_pb2.Duration()
        retry_delay.FromTimedelta(delay)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=retry_delay))
    return status
