"""Converts the status of a failed call into an exception."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, Help, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from attachery_client import errors
from attachery_client.call_info import attempts_of, rate_limit_of, request_id_of, trailers_of
from attachery_client.errors import AttacheryError, Violation

# An ErrorInfo of another domain comes from a proxy or gateway, not from Attachery.
DOMAIN = "attachery"

_DETAILS_KEY = "grpc-status-details-bin"

_CLASSES = [
    member
    for member in vars(errors).values()
    if isinstance(member, type) and issubclass(member, AttacheryError)
]
_BY_REASON = {cls.reason: cls for cls in _CLASSES if cls.reason}
_BY_CODE = {cls.code: cls for cls in _CLASSES if AttacheryError in cls.__bases__}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.aio.AioRpcError, *, request_id: str = "") -> AttacheryError:
    """The exception for a failed call.

    `request_id` is the id sent with the call, used if the response has none, as when no server was
    reached. A status without details becomes the class of its code.
    """
    trailers = trailers_of(error.trailing_metadata())
    status = _decode(trailers.get(_DETAILS_KEY, b""))
    built = _build(
        error.code(),
        error.details() or "",
        _Details.of(status.details),
        request_id_of(trailers) or request_id,
    )
    built.attempts, built.rate_limit = attempts_of(trailers), rate_limit_of(trailers)
    return built


def class_of_reason(reason: str) -> type[AttacheryError]:
    """The class of a reason of the contract: the reasons without their own are invalid requests."""
    return _BY_REASON.get(reason, errors.InvalidRequest)


def from_status(status: Status, *, request_id: str = "") -> AttacheryError | None:
    """The exception for one item of a batch, such as a result of ResolveAttachments; None if OK.

    Example: `if error := from_status(result.status): raise error`
    """
    if not status.code:
        return None
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _build(code, status.message, _Details.of(status.details), request_id)


@dataclass(frozen=True, slots=True)
class _Details:
    """The details that the client uses; empty messages for absent ones."""

    info: ErrorInfo
    bad_request: BadRequest
    request: RequestInfo
    retry: RetryInfo
    help: Help

    @classmethod
    def of(cls, packed: Iterable[Any]) -> _Details:
        details = cls(ErrorInfo(), BadRequest(), RequestInfo(), RetryInfo(), Help())
        for part in packed:
            for message in details.messages():
                if part.TypeName() == message.DESCRIPTOR.full_name:
                    with suppress(DecodeError):
                        message.ParseFromString(part.value)
        return details

    def messages(self) -> tuple[Message, ...]:
        return self.info, self.bad_request, self.request, self.retry, self.help

    @property
    def help_url(self) -> str:
        return self.help.links[0].url if self.help.links else ""

    @property
    def retry_after(self) -> timedelta | None:
        if not self.retry.HasField("retry_delay"):
            return None
        return self.retry.retry_delay.ToTimedelta()


def _decode(packed: str | bytes) -> Status:
    """Returns an empty status for an undecodable one; the code of the call determines the class."""
    try:
        return Status.FromString(packed if isinstance(packed, bytes) else b"")
    except DecodeError:
        return Status()


def _build(
    code: grpc.StatusCode, message: str, details: _Details, request_id: str
) -> AttacheryError:
    ours = details.info if details.info.domain == DOMAIN else ErrorInfo()
    facts = dict(ours.metadata)
    http_status, retryable = facts.pop("httpStatus", ""), facts.pop("retryable", "")
    next_action = facts.pop("nextAction", "")
    cls = _BY_REASON.get(ours.reason) or _BY_CODE.get(code, AttacheryError)
    return cls(
        message,
        code=code,
        reason=ours.reason,
        facts=facts,
        violations=_violations(details.bad_request),
        request_id=details.request.request_id or request_id,
        http_status=int(http_status) if http_status.isdecimal() else None,
        retry_after=details.retry_after,
        retryable=retryable == "true" if retryable else None,
        next_action=next_action,
        help_url=details.help_url,
    )


def _violations(bad_request: BadRequest) -> list[Violation]:
    # The base install allows versions of the common protos whose violations have no reason yet.
    return [
        Violation(v.field, getattr(v, "reason", ""), v.description)
        for v in bad_request.field_violations
    ]
