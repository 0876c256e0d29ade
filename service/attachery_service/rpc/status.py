"""Errors as gRPC statuses: one ErrorInfo each, and the details that fit (AIP-193)."""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from attachery_service.domain import errors

DOMAIN = "attachery"

# The details travel in the trailers. Callers in C refuse trailers above 8 KiB at random, and above
# 16 KiB always; half of the lower limit leaves room for whatever a proxy adds.
MAX_STATUS_BYTES = 4096

_RETRY_DELAY = timedelta(milliseconds=200)


def code_of(error: errors.AttacheryError) -> grpc.StatusCode:
    return grpc.StatusCode[error.code]


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
    code: int = code_of(error).value[0]
    return status_pb2.Status(
        code=code, message=error.message, details=[_packed(detail) for detail in details]
    )


def _error_info(error: errors.AttacheryError) -> error_details_pb2.ErrorInfo:
    # Details of a fault of the service are for its operators, who find them in the log.
    is_internal = isinstance(error, errors.Internal | errors.Unavailable)
    facts = {} if is_internal else dict(error.facts)
    facts["httpStatus"] = str(error.http_status)
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)


def _fitting_details(error: errors.AttacheryError) -> list[message.Message]:
    match error:
        case errors.NotFound():
            return [_resource_info(error)]
        case errors.FailedPrecondition():
            return [_precondition_failure(error)]
        case _ if error.retryable:
            return [_retry_info(error.retry_after or _RETRY_DELAY)]
        case errors.ResourceExhausted():
            return [_quota_failure(error)]
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
