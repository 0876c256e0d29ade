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

NO_FACTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule: its path, the reason, and a sentence that says the rule."""

    field: str
    reason: str
    description: str


class AttacheryError(Exception):
    """The call failed.

    - `code`: the gRPC status code.
    - `reason`: name of the `ErrorReason` without its prefix; empty if the service did not answer.
    - `message`: a sentence for people, which may change.
    - `facts`: what there is to know, by lower-camel name, such as `expectedSize`.
    - `violations`: with INVALID_ARGUMENT, every field that breaks its rule, in field order.
    - `request_id`: of this call, as in the service's logs; empty if unknown.
    - `http_status`: what an HTTP gateway would answer; None if the service did not say.
    - `retry_after`: how long to wait before the next attempt; None if the service did not say.
    """

    code: StatusCode = StatusCode.UNKNOWN
    reason: str = ""

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
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.facts = dict(facts)
        self.violations = tuple(violations)
        self.request_id = request_id
        self.http_status = http_status
        self.retry_after = retry_after

    def __str__(self) -> str:
        known = [f"{name}={value}" for name, value in self.facts.items()]
        known += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.reason or self.code.name}: {self.message}" + (
            f" ({', '.join(known)})" if known else ""
        )


class InvalidRequest(AttacheryError):
    """The request is invalid."""

    code = StatusCode.INVALID_ARGUMENT


class RequestIdReused(InvalidRequest):
    """This request_id was used for another payload in the last 24 hours."""

    reason = "REQUEST_ID_REUSED"


class MalformedRequest(InvalidRequest):
    """The request is not a valid encoding of its message."""

    reason = "MALFORMED_REQUEST"


class Unauthenticated(AttacheryError):
    """The caller is not known."""

    code = StatusCode.UNAUTHENTICATED


class CredentialsMissing(Unauthenticated):
    """The call carries no credential."""

    reason = "CREDENTIALS_MISSING"


class CredentialsInvalid(Unauthenticated):
    """The credential is not valid."""

    reason = "CREDENTIALS_INVALID"


class PermissionDenied(AttacheryError):
    """The caller may not do this."""

    code = StatusCode.PERMISSION_DENIED


class TenantDenied(PermissionDenied):
    """The credential does not cover this tenant."""

    reason = "TENANT_DENIED"


class ScopeMissing(PermissionDenied):
    """The credential lacks the scope this method needs."""

    reason = "SCOPE_MISSING"


class NotFound(AttacheryError):
    """There is no such thing."""

    code = StatusCode.NOT_FOUND


class AttachmentNotFound(NotFound):
    """There is no attachment of this id in this tenant."""

    reason = "ATTACHMENT_NOT_FOUND"


class HoldNotFound(NotFound):
    """There is no such hold."""

    reason = "HOLD_NOT_FOUND"


class FailedPrecondition(AttacheryError):
    """The state does not allow this."""

    code = StatusCode.FAILED_PRECONDITION


class UploadAlreadyCompleted(FailedPrecondition):
    """The upload is already complete."""

    reason = "UPLOAD_ALREADY_COMPLETED"


class UploadFailed(FailedPrecondition):
    """The upload has failed verification."""

    reason = "UPLOAD_FAILED"


class UploadCancelled(FailedPrecondition):
    """The upload was cancelled."""

    reason = "UPLOAD_CANCELLED"


class UploadExpired(FailedPrecondition):
    """The upload's deadline has passed."""

    reason = "UPLOAD_EXPIRED"


class ObjectNotUploaded(FailedPrecondition):
    """Nothing has arrived in storage yet; upload the bytes, then complete."""

    reason = "OBJECT_NOT_UPLOADED"


class UploadNotReady(FailedPrecondition):
    """The upload is not complete."""

    reason = "UPLOAD_NOT_READY"


class ObjectPurged(FailedPrecondition):
    """The bytes are gone, their time has passed; the metadata remains."""

    reason = "OBJECT_PURGED"


class AttachmentHeld(FailedPrecondition):
    """The attachment is held: wait for the end of its holds, or use force."""

    reason = "ATTACHMENT_HELD"


class HoldExpired(FailedPrecondition):
    """The hold has ended; what it held may be gone."""

    reason = "HOLD_EXPIRED"


class HoldReleased(FailedPrecondition):
    """The hold was released; what it held may be gone."""

    reason = "HOLD_RELEASED"


class VerificationFailed(FailedPrecondition):
    """What arrived in storage is not what was declared."""


class SizeMismatch(VerificationFailed):
    """What arrived in storage has another size than declared."""

    reason = "SIZE_MISMATCH"


class EmptyObject(VerificationFailed):
    """What arrived in storage is empty."""

    reason = "EMPTY_OBJECT"


class ObjectTooLarge(VerificationFailed):
    """What arrived in storage is larger than allowed."""

    reason = "OBJECT_TOO_LARGE"


class ChecksumMismatch(VerificationFailed):
    """What arrived in storage has another checksum than declared."""

    reason = "CHECKSUM_MISMATCH"


class ContentTypeMismatch(VerificationFailed):
    """What arrived in storage has another content type than declared."""

    reason = "CONTENT_TYPE_MISMATCH"


class ObjectUnreadable(VerificationFailed):
    """The uploader sent a header with which the stored bytes cannot be read; upload without it."""

    reason = "OBJECT_UNREADABLE"


class ResourceExhausted(AttacheryError):
    """The caller may not have more; nothing happened."""

    code = StatusCode.RESOURCE_EXHAUSTED


class PendingSessionsLimit(ResourceExhausted):
    """The tenant has too many pending sessions; complete some, or wait for their targets to end."""

    reason = "PENDING_SESSIONS_LIMIT"


class StorageQuotaExceeded(ResourceExhausted):
    """The tenant's pending or stored bytes would exceed its quota."""

    reason = "STORAGE_QUOTA_EXCEEDED"


class RateLimited(ResourceExhausted):
    """Too many calls in too short a time; `retry_after` says when the next one may be made."""

    reason = "RATE_LIMITED"


class Aborted(AttacheryError):
    """The call was given up; it may be repeated."""

    code = StatusCode.ABORTED


class ObjectChanging(Aborted):
    """The object was replaced again and again while it was being verified."""

    reason = "OBJECT_CHANGING"


class BatchAborted(Aborted):
    """Another item of this all-or-nothing call failed."""

    reason = "BATCH_ABORTED"


class Unavailable(AttacheryError):
    """The service cannot answer right now; nothing was lost, try again."""

    code = StatusCode.UNAVAILABLE


class StorageUnavailable(Unavailable):
    """Object storage does not answer right now; nothing was lost, try again."""

    reason = "STORAGE_UNAVAILABLE"


class DatabaseUnavailable(Unavailable):
    """The database does not answer right now; nothing was lost, try again."""

    reason = "DATABASE_UNAVAILABLE"


class Overloaded(Unavailable):
    """The server has more calls than it can answer in time and did not start this one."""

    reason = "OVERLOADED"


class ShuttingDown(Unavailable):
    """The server is stopping and did not start this call; retry on another server."""

    reason = "SHUTTING_DOWN"


class DeadlineExceeded(AttacheryError):
    """The call's deadline left too little time."""

    code = StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Internal(AttacheryError):
    """The service failed; its operators find the cause by the request id."""

    code = StatusCode.INTERNAL


class StorageMisconfigured(Internal):
    """The service's own access to object storage is wrong; its operators must act."""

    reason = "STORAGE_MISCONFIGURED"


class UnexpectedError(Internal):
    """The service failed; its operators find the cause by the request id."""

    reason = "INTERNAL"


class Unimplemented(AttacheryError):
    """There is no such method in this version."""

    code = StatusCode.UNIMPLEMENTED
    reason = "UNKNOWN_METHOD"


class DataLoss(AttacheryError):
    """Verified bytes are gone or changed; the service's operators must act."""

    code = StatusCode.DATA_LOSS


class ObjectMissing(DataLoss):
    """The attachment is ready, but its object is not in storage any more."""

    reason = "OBJECT_MISSING"


class ObjectChanged(DataLoss):
    """The attachment is ready, but its object is not the one that was verified."""

    reason = "OBJECT_CHANGED"
