"""Every way a call can fail; decide on the class, or on `reason` where a class has several.

AttacheryError
├── InvalidRequest              the request itself; carries one violation per field
│   ├── RequestIdReused
│   └── MalformedRequest
├── Unauthenticated
│   ├── CredentialsMissing
│   └── CredentialsInvalid
├── PermissionDenied
│   ├── TenantDenied
│   └── ScopeMissing
├── NotFound
│   ├── AttachmentNotFound
│   └── HoldNotFound
├── FailedPrecondition          the state of the session or attachment
│   ├── UploadAlreadyCompleted
│   ├── UploadFailed
│   ├── UploadCancelled
│   ├── UploadExpired
│   ├── ObjectNotUploaded
│   ├── UploadNotReady
│   ├── ObjectPurged
│   ├── AttachmentHeld
│   ├── HoldExpired
│   ├── HoldReleased
│   └── VerificationFailed      the bytes that arrived; the session is FAILED
│       ├── SizeMismatch
│       ├── EmptyObject
│       ├── ObjectTooLarge
│       ├── ChecksumMismatch
│       ├── ContentTypeMismatch
│       └── ObjectUnreadable
├── ResourceExhausted           more than the caller may have; nothing happened
│   ├── PendingSessionsLimit
│   ├── StorageQuotaExceeded
│   └── RateLimited
├── Aborted
│   ├── ObjectChanging
│   └── BatchAborted
├── Unavailable                 nothing was lost, the same call may succeed later
│   ├── StorageUnavailable
│   ├── DatabaseUnavailable
│   ├── Overloaded
│   └── ShuttingDown
├── DeadlineExceeded
├── Internal
│   ├── StorageMisconfigured
│   └── UnexpectedError
├── Unimplemented
└── DataLoss
    ├── ObjectMissing
    └── ObjectChanged

It is the service's own tree. A reason that a newer service has and this tree has not arrives as
the class of its status code with `reason` as sent; a code that has no class, as AttacheryError.
`upload` and `download` add `TransferFailed`, an AttacheryError, and its subclass `ProxyFailed`, for
an HTTP proxy on the way to storage (both in attachery_client.transfer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from grpc import StatusCode

# In the text of an exception; all are in `violations`.
_MAX_LISTED = 20
_MAX_TEXT = 300

NO_FACTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule: its path, the reason, and a sentence that says the rule."""

    field: str
    reason: str
    description: str

    def __str__(self) -> str:
        """`field: description (reason)`, without the parts that the service did not send."""
        text = ": ".join(filter(None, (self.field, self.description)))
        return f"{text} ({self.reason})" if self.reason and text else text or self.reason


class AttacheryError(Exception):
    """The call failed.

    - `code`: the gRPC status code.
    - `reason`: name of the `ErrorReason` without its prefix; empty if the service did not answer.
    - `message`: a sentence for people, which may change; by default the `summary` of the class.
    - `facts`: what there is to know, by lower-camel name, such as `expectedSize`.
    - `violations`: with INVALID_ARGUMENT, every field that breaks its rule, in field order.
    - `request_id`: of this call, as in the service's logs; empty if unknown.
    - `http_status`: what an HTTP gateway would answer; None if the service did not say.
    - `retry_after`: how long to wait before the next attempt; None if the service did not say.
    """

    summary = "The call failed."
    code: StatusCode = StatusCode.UNKNOWN
    reason: str = ""

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.summary

    def __init__(
        self,
        message: str = "",
        *,
        code: StatusCode | None = None,
        reason: str = "",
        facts: Mapping[str, str] = NO_FACTS,
        violations: Sequence[Violation] = (),
        request_id: str = "",
        http_status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.reason = reason or type(self).reason
        self.message = message or self.summary
        self.facts = dict(facts)
        self.violations = tuple(violations)
        self.request_id = request_id
        self.http_status = http_status
        self.retry_after = retry_after

    def __str__(self) -> str:
        """The reason, the message, and in brackets what else helps to find the cause."""
        known = [f"{name}={value}" for name, value in self.facts.items()]
        known += [f"request {self.request_id}"] if self.request_id else []
        text = f"{self.reason or self.code.name}: {self._explained()}"
        return f"{text} ({', '.join(known)})" if known else text

    def _explained(self) -> str:
        return self.message


class InvalidRequest(AttacheryError):
    """The request is invalid: `violations` has every field that breaks its rule.

    `str()` lists all of them, up to 20, each with at most 300 characters.
    """

    summary = "The request is invalid."
    code = StatusCode.INVALID_ARGUMENT

    def _explained(self) -> str:
        # The service's message is the first violation.
        if not self.violations or (len(self.violations) == 1 and self.message != self.summary):
            return self.message
        listed = [_shortened(str(violation)) for violation in self.violations[:_MAX_LISTED]]
        more = len(self.violations) - len(listed)
        return "; ".join([*listed, *([f"and {more} more"] if more else [])])


class RequestIdReused(InvalidRequest):
    summary = "This request_id was used for another payload in the last 24 hours."
    reason = "REQUEST_ID_REUSED"


class MalformedRequest(InvalidRequest):
    summary = "The request is not a valid encoding of its message."
    reason = "MALFORMED_REQUEST"


class Unauthenticated(AttacheryError):
    summary = "The caller is not known."
    code = StatusCode.UNAUTHENTICATED


class CredentialsMissing(Unauthenticated):
    summary = "The call carries no credential."
    reason = "CREDENTIALS_MISSING"


class CredentialsInvalid(Unauthenticated):
    summary = "The credential is not valid."
    reason = "CREDENTIALS_INVALID"


class PermissionDenied(AttacheryError):
    summary = "The caller may not do this."
    code = StatusCode.PERMISSION_DENIED


class TenantDenied(PermissionDenied):
    summary = "The credential does not cover this tenant."
    reason = "TENANT_DENIED"


class ScopeMissing(PermissionDenied):
    summary = "The credential lacks the scope this method needs."
    reason = "SCOPE_MISSING"


class NotFound(AttacheryError):
    summary = "There is no such thing."
    code = StatusCode.NOT_FOUND


class AttachmentNotFound(NotFound):
    summary = "There is no attachment of this id in this tenant."
    reason = "ATTACHMENT_NOT_FOUND"


class HoldNotFound(NotFound):
    summary = "There is no such hold."
    reason = "HOLD_NOT_FOUND"


class FailedPrecondition(AttacheryError):
    summary = "The state does not allow this."
    code = StatusCode.FAILED_PRECONDITION


class UploadAlreadyCompleted(FailedPrecondition):
    summary = "The upload is already complete."
    reason = "UPLOAD_ALREADY_COMPLETED"


class UploadFailed(FailedPrecondition):
    summary = "The upload has failed verification."
    reason = "UPLOAD_FAILED"


class UploadCancelled(FailedPrecondition):
    summary = "The upload was cancelled."
    reason = "UPLOAD_CANCELLED"


class UploadExpired(FailedPrecondition):
    summary = "The upload's deadline has passed."
    reason = "UPLOAD_EXPIRED"


class ObjectNotUploaded(FailedPrecondition):
    summary = "Nothing has arrived in storage yet; upload the bytes, then complete."
    reason = "OBJECT_NOT_UPLOADED"


class UploadNotReady(FailedPrecondition):
    summary = "The upload is not complete."
    reason = "UPLOAD_NOT_READY"


class ObjectPurged(FailedPrecondition):
    summary = "The bytes are gone, their time has passed; the metadata remains."
    reason = "OBJECT_PURGED"


class AttachmentHeld(FailedPrecondition):
    summary = "The attachment is held: wait for the end of its holds, or use force."
    reason = "ATTACHMENT_HELD"


class HoldExpired(FailedPrecondition):
    summary = "The hold has ended; what it held may be gone."
    reason = "HOLD_EXPIRED"


class HoldReleased(FailedPrecondition):
    summary = "The hold was released; what it held may be gone."
    reason = "HOLD_RELEASED"


class VerificationFailed(FailedPrecondition):
    summary = "What arrived in storage is not what was declared."


class SizeMismatch(VerificationFailed):
    summary = "What arrived in storage has another size than declared."
    reason = "SIZE_MISMATCH"


class EmptyObject(VerificationFailed):
    summary = "What arrived in storage is empty."
    reason = "EMPTY_OBJECT"


class ObjectTooLarge(VerificationFailed):
    summary = "What arrived in storage is larger than allowed."
    reason = "OBJECT_TOO_LARGE"


class ChecksumMismatch(VerificationFailed):
    summary = "What arrived in storage has another checksum than declared."
    reason = "CHECKSUM_MISMATCH"


class ContentTypeMismatch(VerificationFailed):
    summary = "What arrived in storage has another content type than declared."
    reason = "CONTENT_TYPE_MISMATCH"


class ObjectUnreadable(VerificationFailed):
    summary = (
        "The uploader sent a header with which the stored bytes cannot be read; upload without it."
    )
    reason = "OBJECT_UNREADABLE"


class ResourceExhausted(AttacheryError):
    summary = "The caller may not have more; nothing happened."
    code = StatusCode.RESOURCE_EXHAUSTED


class PendingSessionsLimit(ResourceExhausted):
    summary = (
        "The tenant has too many pending sessions; complete some, or wait for their targets to end."
    )
    reason = "PENDING_SESSIONS_LIMIT"


class StorageQuotaExceeded(ResourceExhausted):
    summary = "The tenant's pending or stored bytes would exceed its quota."
    reason = "STORAGE_QUOTA_EXCEEDED"


class RateLimited(ResourceExhausted):
    summary = (
        "Too many calls in too short a time; `retry_after` says when the next one may be made."
    )
    reason = "RATE_LIMITED"


class Aborted(AttacheryError):
    summary = "The call was given up; it may be repeated."
    code = StatusCode.ABORTED


class ObjectChanging(Aborted):
    summary = "The object was replaced again and again while it was being verified."
    reason = "OBJECT_CHANGING"


class BatchAborted(Aborted):
    summary = "Another item of this all-or-nothing call failed."
    reason = "BATCH_ABORTED"


class Unavailable(AttacheryError):
    summary = "The service cannot answer right now; nothing was lost, try again."
    code = StatusCode.UNAVAILABLE


class StorageUnavailable(Unavailable):
    summary = "Object storage does not answer right now; nothing was lost, try again."
    reason = "STORAGE_UNAVAILABLE"


class DatabaseUnavailable(Unavailable):
    summary = "The database does not answer right now; nothing was lost, try again."
    reason = "DATABASE_UNAVAILABLE"


class Overloaded(Unavailable):
    summary = "The server has more calls than it can answer in time and did not start this one."
    reason = "OVERLOADED"


class ShuttingDown(Unavailable):
    summary = "The server is stopping and did not finish this call; retry it on another server."
    reason = "SHUTTING_DOWN"


class DeadlineExceeded(AttacheryError):
    summary = "The call's deadline left too little time."
    code = StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Internal(AttacheryError):
    summary = "The service failed; its operators find the cause by the request id."
    code = StatusCode.INTERNAL


class StorageMisconfigured(Internal):
    summary = "The service's own access to object storage is wrong; its operators must act."
    reason = "STORAGE_MISCONFIGURED"


class UnexpectedError(Internal):
    summary = "The service failed; its operators find the cause by the request id."
    reason = "INTERNAL"


class Unimplemented(AttacheryError):
    summary = "There is no such method in this version."
    code = StatusCode.UNIMPLEMENTED
    reason = "UNKNOWN_METHOD"


class DataLoss(AttacheryError):
    summary = "Verified bytes are gone or changed; the service's operators must act."
    code = StatusCode.DATA_LOSS


class ObjectMissing(DataLoss):
    summary = "The attachment is ready, but its object is not in storage any more."
    reason = "OBJECT_MISSING"


class ObjectChanged(DataLoss):
    summary = "The attachment is ready, but its object is not the one that was verified."
    reason = "OBJECT_CHANGED"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
