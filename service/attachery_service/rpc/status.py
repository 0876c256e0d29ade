"""Errors as gRPC statuses: one ErrorInfo each, and the details that fit (AIP-193)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from attachery_service.domain import errors
from attachery_service.domain.next_actions import SENTENCES

DOMAIN = "attachery"

# Of the links in errors, unless the operators publish the page: its path in the repository.
DOCS_URL = "docs/errors.md"

# The details travel in the trailers. Callers in C refuse trailers above 8 KiB at random, and above
# 16 KiB always; half of the lower limit leaves room for whatever a proxy adds.
MAX_STATUS_BYTES = 4096

_RETRY_DELAY = timedelta(milliseconds=200)


def code_of(error: errors.AttacheryError) -> grpc.StatusCode:
    return grpc.StatusCode[error.code]


def to_status(
    error: errors.AttacheryError, request_id: str, docs_url: str = DOCS_URL
) -> status_pb2.Status:
    """The status of an error, with as many details as fit into MAX_STATUS_BYTES.

    `docs_url`: the page of the error reasons, for the link in Help.
    """
    code: int = code_of(error).value[0]
    status = status_pb2.Status(code=code, message=error.message)
    status.details.add().Pack(_error_info(error))
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    room = MAX_STATUS_BYTES - status.ByteSize()
    for further in _further_details(error, _help(error.reason, error.next_action, docs_url)):
        details = status_pb2.Status(details=further)
        if details.ByteSize() <= room:
            status.MergeFrom(details)
            break
    return status


def _error_info(error: errors.AttacheryError) -> error_details_pb2.ErrorInfo:
    # Details of a fault of the service are for its operators, who find them in the log.
    is_internal = isinstance(error, errors.Internal | errors.Unavailable)
    facts = {} if is_internal else dict(error.facts)
    facts["httpStatus"] = str(error.http_status)
    facts["nextAction"] = error.next_action
    facts["retryable"] = "true" if error.retryable else "false"
    return error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)


@lru_cache(maxsize=256)
def _help(reason: str, next_action: str, docs_url: str) -> any_pb2.Any:
    """The sentence of the next action, and a link to the reason; encoded once per reason."""
    link = error_details_pb2.Help.Link(
        description=SENTENCES[next_action], url=f"{docs_url}#{reason}"
    )
    return _packed(error_details_pb2.Help(links=[link]))


def _further_details(
    error: errors.AttacheryError, explanation: any_pb2.Any
) -> Iterator[list[any_pb2.Any]]:
    """The details beside those that are always sent: all of them, then less and less.

    Help is left out first, since the contract has the same; then the last violations.
    """
    violations = error.violations if isinstance(error, errors.InvalidRequest) else ()
    if violations:
        yield [_packed(_bad_request(violations)), explanation]
        for count in range(len(violations), 0, -1):
            yield [_packed(_bad_request(violations[:count]))]
    fitting = [_packed(detail) for detail in _fitting_details(error)]
    yield [*fitting, explanation]
    yield fitting


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
