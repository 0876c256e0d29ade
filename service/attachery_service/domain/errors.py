"""Every way a call can fail, as the caller sees it.

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
│   │   └── DatabaseMisconfigured    for operators; callers see a DatabaseUnavailable
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

`summary` is the message of a class, and its docstring: an attribute, since `python -OO` removes
docstrings. `reason` is the name that callers decide on; `facts` are the details, by lower-camel
name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta


class AttacheryError(Exception):
    summary = "The call failed."
    reason: str = "INTERNAL"

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.summary

    def __init__(self, **facts: object) -> None:
        super().__init__(self.summary)
        self.facts = {name: str(value) for name, value in facts.items() if value is not None}

    @property
    def message(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that breaks its rule: its path, the reason, and a sentence that says the rule."""

    field: str
    reason: str
    description: str


class InvalidRequest(AttacheryError):
    summary = "The request is invalid."

    def __init__(self, violations: Sequence[Violation] = (), **facts: object) -> None:
        super().__init__(**facts)
        self.violations = tuple(violations)
        if self.violations:
            self.reason = self.violations[0].reason

    @property
    def message(self) -> str:
        if not self.violations:
            return str(self)
        first = self.violations[0]
        return f"{first.field}: {first.description}"


class RequestIdReused(InvalidRequest):
    summary = "This request_id was used for another payload in the last 24 hours."
    reason = "REQUEST_ID_REUSED"


class MalformedRequest(InvalidRequest):
    summary = "The request is not a valid encoding of its message."
    reason = "MALFORMED_REQUEST"


class Unauthenticated(AttacheryError):
    summary = "The caller is not known."


class CredentialsMissing(Unauthenticated):
    summary = "The call carries no credential: send 'authorization: Bearer KEY'."
    reason = "CREDENTIALS_MISSING"


class CredentialsInvalid(Unauthenticated):
    summary = "The credential is not valid."
    reason = "CREDENTIALS_INVALID"


class PermissionDenied(AttacheryError):
    summary = "The caller may not do this."


class TenantDenied(PermissionDenied):
    summary = "The credential does not cover this tenant."
    reason = "TENANT_DENIED"


class ScopeMissing(PermissionDenied):
    summary = "The credential lacks the scope this method needs."
    reason = "SCOPE_MISSING"


class NotFound(AttacheryError):
    summary = "There is no such thing."


class AttachmentNotFound(NotFound):
    summary = "There is no attachment of this id in this tenant."
    reason = "ATTACHMENT_NOT_FOUND"


class HoldNotFound(NotFound):
    summary = "There is no such hold."
    reason = "HOLD_NOT_FOUND"


class FailedPrecondition(AttacheryError):
    summary = "The state does not allow this."


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


class PendingSessionsLimit(ResourceExhausted):
    summary = (
        "The tenant has too many pending sessions; complete some, or wait for their targets to end."
    )
    reason = "PENDING_SESSIONS_LIMIT"


class StorageQuotaExceeded(ResourceExhausted):
    summary = "The tenant's pending or stored bytes would exceed its quota."
    reason = "STORAGE_QUOTA_EXCEEDED"


class RateLimited(ResourceExhausted):
    summary = "Too many calls in too short a time; the next one may be made after a while."
    reason = "RATE_LIMITED"

    def __init__(self, retry_after: timedelta = timedelta(seconds=1), **facts: object) -> None:
        super().__init__(**facts)
        self.retry_after = retry_after


class Aborted(AttacheryError):
    summary = "The call was given up; it may be repeated."


class ObjectChanging(Aborted):
    summary = "The object was replaced again and again while it was being verified."
    reason = "OBJECT_CHANGING"


class BatchAborted(Aborted):
    summary = "Another item of this all-or-nothing call failed."
    reason = "BATCH_ABORTED"


class Unavailable(AttacheryError):
    summary = "The service cannot answer right now; nothing was lost, try again."


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


class DatabaseMisconfigured(DatabaseUnavailable):
    summary = "The service's own access to the database is wrong; its operators must act."


class DeadlineExceeded(AttacheryError):
    summary = "The call's deadline left too little time."
    reason = "DEADLINE_EXCEEDED"


class Internal(AttacheryError):
    summary = "The service failed; its operators find the cause by the request id."


class StorageMisconfigured(Internal):
    summary = "The service's own access to object storage is wrong; its operators must act."
    reason = "STORAGE_MISCONFIGURED"


class UnexpectedError(Internal):
    summary = "The service failed; its operators find the cause by the request id."
    reason = "INTERNAL"


class Unimplemented(AttacheryError):
    summary = "There is no such method in this version."
    reason = "UNKNOWN_METHOD"


class DataLoss(AttacheryError):
    summary = "Verified bytes are gone or changed; the service's operators must act."


class ObjectMissing(DataLoss):
    summary = "The attachment is ready, but its object is not in storage any more."
    reason = "OBJECT_MISSING"


class ObjectChanged(DataLoss):
    summary = "The attachment is ready, but its object is not the one that was verified."
    reason = "OBJECT_CHANGED"


def error_of_reason(reason: str, facts: Mapping[str, str]) -> VerificationFailed:
    """The verification error of this reason, as a FAILED session keeps it."""
    kinds = {kind.reason: kind for kind in VerificationFailed.__subclasses__()}
    return kinds.get(reason, VerificationFailed)(**facts)
