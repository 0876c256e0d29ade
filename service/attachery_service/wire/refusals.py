"""Prepared answers for calls that the server refuses before it reads anything of them.

Under overload most calls are refused, so a refusal must cost little: everything but the request id
is encoded once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from attachery_service.domain.errors import (
    AttacheryError,
    DeadlineExceeded,
    Overloaded,
    ShuttingDown,
)
from attachery_service.wire.call import REQUEST_ID_KEY
from attachery_service.wire.encoded import field_of
from attachery_service.wire.status import code_of, to_status
from attachery_service.wire.trailers import STATUS_DETAILS_KEY, Trailers

# gRPC clients wait this long before they retry, instead of their own backoff (gRFC A6).
_PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"

_DETAILS_FIELD: Final = 3  # of google.rpc.Status
_TYPE_URL_FIELD, _VALUE_FIELD = 1, 2  # of google.protobuf.Any
_REQUEST_ID_FIELD: Final = 1  # of google.rpc.RequestInfo
_REQUEST_INFO: Final = error_details_pb2.RequestInfo.DESCRIPTOR.full_name
_RETRY_INFO: Final = error_details_pb2.RetryInfo.DESCRIPTOR.full_name
_TYPE_URL: Final = field_of(_TYPE_URL_FIELD, f"type.googleapis.com/{_REQUEST_INFO}".encode())


class Refusal:
    """The answer for every call that is refused for one reason.

    `cause` is the label of the metric `attachery_rpcs_shed`. `retry_after`: the delay in RetryInfo
    and in gRPC's retry pushback; None for an error that is no use to retry.
    """

    def __init__(
        self, error: AttacheryError, cause: str, retry_after: timedelta | None = None
    ) -> None:
        self.cause = cause
        self.reason = error.reason
        self.code = code_of(error)
        self.number: int = self.code.value[0]
        self.message = error.message
        self._status = _without_request_info(error, retry_after).SerializeToString()
        self._pushback = _pushback(retry_after)

    def trailers(self, request_id: str) -> Trailers:
        """The trailing metadata for a call with this request id of at most 64 characters."""
        info = field_of(_REQUEST_ID_FIELD, request_id.encode())
        details = field_of(_DETAILS_FIELD, _TYPE_URL + field_of(_VALUE_FIELD, info))
        return (
            (REQUEST_ID_KEY, request_id),
            *self._pushback,
            (STATUS_DETAILS_KEY, self._status + details),
        )


def _without_request_info(
    error: AttacheryError, retry_after: timedelta | None
) -> status_pb2.Status:
    """The status to which a RequestInfo can be appended, as Protobuf merges repeated fields."""
    status = to_status(error, request_id="")
    for detail in list(status.details):
        if detail.TypeName() in (_REQUEST_INFO, _RETRY_INFO):
            status.details.remove(detail)
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromTimedelta(retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _pushback(retry_after: timedelta | None) -> Trailers:
    if retry_after is None:
        return ()
    return ((_PUSHBACK_KEY, str(retry_after // timedelta(milliseconds=1))),)


_RETRY_AFTER: Final = timedelta(milliseconds=200)

OVERLOADED: Final = Refusal(Overloaded(), "concurrency", _RETRY_AFTER)
SHUTTING_DOWN: Final = Refusal(ShuttingDown(), "shutdown", _RETRY_AFTER)
TOO_LATE: Final = Refusal(DeadlineExceeded(), "deadline")
