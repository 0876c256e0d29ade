"""Errors as gRPC statuses: one ErrorInfo each, and the details that fit (AIP-193)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from attachery_service.domain import errors

DOMAIN = "attachery"

# The details travel in the trailers. Callers in C refuse trailers above 8 KiB at random, and above
# 16 KiB always; half of the lower limit leaves room for whatever a proxy adds.
MAX_STATUS_BYTES = 4096

_RETRY_DELAY = duration_pb2.Duration(nanos=200_000_000)


@dataclass(frozen=True, slots=True)
class _Mapping:
    code: grpc.StatusCode
    http_status: int


# The nearest class of an error's ancestry decides. The HTTP status is what a gateway answers.
_MAPPINGS: dict[type[errors.AttacheryError], _Mapping] = {
    errors.InvalidRequest: _Mapping(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.Unauthenticated: _Mapping(grpc.StatusCode.UNAUTHENTICATED, 401),
    errors.PermissionDenied: _Mapping(grpc.StatusCode.PERMISSION_DENIED, 403),
    errors.NotFound: _Mapping(grpc.StatusCode.NOT_FOUND, 404),
    errors.FailedPrecondition: _Mapping(grpc.StatusCode.FAILED_PRECONDITION, 409),
    errors.UploadExpired: _Mapping(grpc.StatusCode.FAILED_PRECONDITION, 410),
    errors.ObjectPurged: _Mapping(grpc.StatusCode.FAILED_PRECONDITION, 410),
    errors.HoldExpired: _Mapping(grpc.StatusCode.FAILED_PRECONDITION, 410),
    errors.ObjectNotUploaded: _Mapping(grpc.StatusCode.FAILED_PRECONDITION, 422),
    errors.VerificationFailed: _Mapping(grpc.StatusCode.FAILED_PRECONDITION, 422),
    errors.ResourceExhausted: _Mapping(grpc.StatusCode.RESOURCE_EXHAUSTED, 402),
    errors.RateLimited: _Mapping(grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    errors.Aborted: _Mapping(grpc.StatusCode.ABORTED, 409),
    errors.Unavailable: _Mapping(grpc.StatusCode.UNAVAILABLE, 503),
    errors.DeadlineExceeded: _Mapping(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    errors.Internal: _Mapping(grpc.StatusCode.INTERNAL, 500),
    errors.Unimplemented: _Mapping(grpc.StatusCode.UNIMPLEMENTED, 501),
    errors.DataLoss: _Mapping(grpc.StatusCode.DATA_LOSS, 500),
}


def code_of(error: errors.AttacheryError) -> grpc.StatusCode:
    return _mapping_of(error).code


def to_status(error: errors.AttacheryError, request_id: str) -> status_pb2.Status:
    """The status of an error, with its details: at most MAX_STATUS_BYTES."""
    details = [_error_info(error), error_details_pb2.RequestInfo(request_id=request_id)]
    status = _status(error, [*details, *_fitting_details(error)])
    violations = error.violations if isinstance(error, errors.InvalidRequest) else ()
    for count in range(len(violations), 0, -1):
        whole = _status(error, [*details, _bad_request(violations[:count])])
        if whole.ByteSize() <= MAX_STATUS_BYTES:
            return whole
    return status


def _status(error: errors.AttacheryError, details: list[message.Message]) -> status_pb2.Status:
    code: int = _mapping_of(error).code.value[0]
    return status_pb2.Status(
        code=code, message=error.message, details=[_packed(detail) for detail in details]
    )


def _mapping_of(error: errors.AttacheryError) -> _Mapping:
    return next(_MAPPINGS[kind] for kind in type(error).__mro__ if kind in _MAPPINGS)


def _error_info(error: errors.AttacheryError) -> error_details_pb2.ErrorInfo:
    # What the service's own troubles are about concerns its operators: the log has it.
    own_trouble = isinstance(error, errors.Internal | errors.Unavailable)
    facts = {} if own_trouble else dict(error.facts)
    facts["httpStatus"] = str(_mapping_of(error).http_status)
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)


def _fitting_details(error: errors.AttacheryError) -> list[message.Message]:
    match error:
        case errors.NotFound():
            return [_resource_info(error)]
        case errors.FailedPrecondition():
            return [_precondition_failure(error)]
        case errors.RateLimited():
            return [_retry_info(error.retry_after)]
        case errors.ResourceExhausted():
            return [_quota_failure(error)]
        case errors.Unavailable() | errors.Aborted():
            return [error_details_pb2.RetryInfo(retry_delay=_RETRY_DELAY)]
        case _:
            return []


def _resource_info(error: errors.NotFound) -> error_details_pb2.ResourceInfo:
    hold = isinstance(error, errors.HoldNotFound)
    kind, fact = ("Hold", "holdId") if hold else ("Attachment", "attachmentId")
    return error_details_pb2.ResourceInfo(
        resource_type=f"attachery.v1.{kind}", resource_name=error.facts.get(fact, "")
    )


def _bad_request(violations: tuple[errors.Violation, ...]) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field=v.field, description=v.description, reason=v.reason
            )
            for v in violations
        ]
    )


def _precondition_failure(error: errors.AttacheryError) -> error_details_pb2.PreconditionFailure:
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=error.reason, subject=error.facts.get("state", ""), description=error.message
    )
    return error_details_pb2.PreconditionFailure(violations=[violation])


def _quota_failure(error: errors.AttacheryError) -> error_details_pb2.QuotaFailure:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=f"tenant:{error.facts.get('tenantId', '')}", description=error.message
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def _retry_info(wait: timedelta) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromTimedelta(wait)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
