"""One upload of the in-memory service: its session, its bytes and their verification."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from attachery.v1 import resources_pb2 as resources
from attachery.v1 import upload_sessions_pb2 as sessions
from attachery_client import errors
from attachery_client.fields import duration, timestamp
from attachery_client.testing.filenames import content_disposition, normalize_filename

MAX_SIZE = 157_286_400
# Of any object of the S3 API.
LARGEST_SIZE = 5 * 2**40

TTL = timedelta(hours=1)
ROW_RETENTION = timedelta(days=60)
# Name, the largest file, and the largest message of Base64 or not.
ROUTES = (
    ("json", 2_100_000, 2_800_000, True),
    ("multipart", 24_000_000, 24_000_000, False),
    ("upload_session", MAX_SIZE, None, False),
)
MAX_SIZES = 1000
_STATE = "UPLOAD_SESSION_STATE_"
_DEAD_ENDS: dict[str, type[errors.AttacheryError]] = {
    "PENDING": errors.UploadNotReady,
    "READY": errors.UploadAlreadyCompleted,
    "DELETED": errors.UploadAlreadyCompleted,
    "FAILED": errors.UploadFailed,
    "CANCELLED": errors.UploadCancelled,
    "EXPIRED": errors.UploadExpired,
}


@dataclass(slots=True)
class Upload:
    """A session and the bytes uploaded to its target."""

    session: resources.UploadSession
    data: bytes | None = None
    allow_empty: bool = False

    @property
    def state(self) -> str:
        return resources.UploadSessionState.Name(self.session.state).removeprefix(_STATE)

    def become(self, state: str) -> None:
        self.session.state = resources.UploadSessionState.Value(_STATE + state)
        self.session.revision += 1
        self.session.update_time.GetCurrentTime()
        self.session.ClearField("expire_time")

    def require(self, state: str) -> None:
        if self.state != state:
            raise _DEAD_ENDS[self.state](facts={"state": self.state})

    def require_revision(self, request: Any) -> None:
        actual, expected = self.session.revision, request.expected_revision
        if request.HasField("expected_revision") and expected != actual:
            facts = {"expectedRevision": str(expected), "actualRevision": str(actual)}
            raise errors.RevisionMismatch(facts=facts)

    def cancel(self) -> None:
        if self.state != "CANCELLED":
            self.require("PENDING")
            self.become("CANCELLED")

    def judge(self, demands: Any) -> errors.VerificationFailed | None:
        """The failed verification for these demands, if any. Raises errors that need no bytes."""
        self.require("PENDING")
        if self.data is None:
            raise errors.ObjectNotUploaded(facts=self._target_facts())
        check_size(demands, LARGEST_SIZE, allow_empty=self.allow_empty)
        if len(self.data) > self.session.max_size_bytes:
            facts = {
                "maxSize": str(self.session.max_size_bytes),
                "actualSize": str(len(self.data)),
            }
            return errors.ObjectTooLarge(facts=facts)
        if not self.data and not self.allow_empty and not _sizes(self.session, demands):
            return errors.EmptyObject(facts={"actualSize": "0"})
        return _mismatch(self.session, demands, self.data)

    def _target_facts(self) -> dict[str, str]:
        expire_time = self.session.upload_url_expire_time.ToDatetime(UTC).isoformat()
        hint = "Repeat StartUploadSession with the same request_id."
        return {"uploadUrlExpireTime": expire_time, "newTarget": hint}

    def complete(self, demands: Any, *, aborted: bool = False) -> None:
        """Wrong bytes fail the session even where the right ones change nothing: `aborted`."""
        error = self.judge(demands)
        if error is not None:
            self.become("FAILED")
            self.session.failure.reason, self.data = error.reason, None
            raise error
        if aborted or self.data is None:
            raise errors.BatchAborted
        self.become("READY")
        self.session.size_bytes = len(self.data)
        self.session.verified_checksums.CopyFrom(resources.Checksums(**_digests(self.data)))
        self.session.complete_time.GetCurrentTime()

    def delete(self) -> None:
        if self.state != "DELETED":
            self.require("READY")
            self.become("DELETED")
            self.session.object_purge_time.CopyFrom(self.session.update_time)
            self.data = None

    def with_bytes(self) -> resources.Attachment:
        """The attachment, unless it is deleted."""
        if self.state == "DELETED":
            gone = self.session.object_purge_time.ToDatetime(UTC).isoformat()
            raise errors.ObjectPurged(facts={"objectPurgeTime": gone})
        return self.attachment()

    def attachment(self) -> resources.Attachment:
        if self.state != "DELETED":
            self.require("READY")
        session = self.session
        inline = session.disposition == resources.DISPOSITION_INLINE
        shown = "inline" if inline else "attachment"
        return resources.Attachment(
            **_same_fields(session, resources.Attachment),
            size_bytes=session.size_bytes,
            checksums=session.verified_checksums,
            content_disposition=content_disposition(shown, session.filename),
        )


def check_size(request: Any, most: int = MAX_SIZE, *, allow_empty: bool = False) -> None:
    """Raises InvalidRequest for a size that no upload can have."""
    least = 0 if allow_empty else 1
    if request.HasField("size_bytes") and not least <= request.size_bytes <= most:
        rule = f"must be {least} to {most}"
        violation = errors.Violation("size_bytes", "SIZE_OUT_OF_RANGE", rule)
        raise errors.InvalidRequest(reason=violation.reason, violations=[violation])


def with_normal_filename(request: Any) -> sessions.StartUploadSessionRequest:
    """A copy with the name as the service stores it. Raises InvalidRequest if it is refused."""
    name = normalize_filename(request.filename)
    if name is None:
        violation = errors.Violation("filename", "INVALID_FILENAME", "must be the name of a file")
        raise errors.InvalidRequest(reason=violation.reason, violations=[violation])
    normal = sessions.StartUploadSessionRequest()
    normal.CopyFrom(request)
    normal.filename = name
    return normal


def default_policy(
    undeclared_size: str = "form", *, allow_empty: bool = False
) -> sessions.UploadPolicy:
    return sessions.UploadPolicy(
        purpose="default",
        max_size_bytes=MAX_SIZE,
        sniffing=sessions.UploadPolicy.SNIFFING_REPORT,
        default_ttl=duration(TTL),
        min_ttl=duration(timedelta(minutes=1)),
        max_ttl=duration(timedelta(hours=24)),
        object_retention=duration(TTL),
        metadata_retention=duration(ROW_RETENTION),
        max_object_retention=duration(timedelta(days=30)),
        max_metadata_retention=duration(timedelta(days=365)),
        terminal_on_mismatch=True,
        allow_empty=allow_empty,
        undeclared_size=f"UNDECLARED_SIZE_{undeclared_size.upper()}",  # type: ignore[arg-type]
        routes=[sessions.UploadRoute(name=name, max_size_bytes=most) for name, most, *_ in ROUTES],
    )


def reserved_bytes(session: resources.UploadSession) -> int:
    """The declared size of a session, or the most it may upload."""
    declared = session.HasField("declared_size_bytes")
    return session.declared_size_bytes if declared else session.max_size_bytes


def check_sizes(request: Any, *, allow_empty: bool) -> None:
    """Raises InvalidRequest for sizes that no message can have."""
    if len(request.sizes_bytes) > MAX_SIZES:
        raise errors.InvalidRequest(reason="BATCH_TOO_LARGE")
    check_size(request, LARGEST_SIZE, allow_empty=allow_empty)
    for size in request.sizes_bytes:
        one = sessions.GetUploadPolicyRequest(size_bytes=size)
        check_size(one, LARGEST_SIZE, allow_empty=allow_empty)


def message_size(request: Any, *, base64: bool) -> int | None:
    """The size of all files of a message; None without files."""
    sizes = _all_sizes(request)
    return sum((n + 2) // 3 * 4 if base64 else n for n in sizes) if sizes else None


def route_of(request: Any) -> sessions.UploadRoute | None:
    sizes = _all_sizes(request)
    if not sizes or max(sizes) > MAX_SIZE:
        return None
    for name, largest, most, is_base64 in ROUTES:
        total = message_size(request, base64=request.base64 or is_base64) or 0
        if most is None or total <= most:
            return sessions.UploadRoute(name=name, max_size_bytes=largest)
    return None


def _all_sizes(request: Any) -> list[int]:
    own = [request.size_bytes] if request.HasField("size_bytes") else []
    return own + list(request.sizes_bytes)


def new_session(request: Any, attachment_id: str) -> resources.UploadSession:
    now = datetime.now(UTC)
    kept = max(TTL, _given(request, "object_retention") or TTL)
    remembered = max(kept, _given(request, "metadata_retention") or ROW_RETENTION)
    shown = resources.DISPOSITION_INLINE if request.content_id else resources.DISPOSITION_ATTACHMENT
    same = _same_fields(request, resources.UploadSession)
    session = resources.UploadSession(
        **{"purpose": "default", "disposition": shown, **same},
        attachment_id=attachment_id,
        state=resources.UPLOAD_SESSION_STATE_PENDING,
        max_size_bytes=MAX_SIZE,
        create_time=timestamp(now),
        update_time=timestamp(now),
        expire_time=timestamp(now + TTL),
        object_purge_time=timestamp(now + kept),
        metadata_purge_time=timestamp(now + remembered),
        upload_url_expire_time=timestamp(now + TTL),
        revision=1,
    )
    if not request.HasField("is_inline"):
        session.is_inline = session.disposition == resources.DISPOSITION_INLINE
    if request.HasField("size_bytes"):
        session.declared_size_bytes = request.size_bytes
    if request.HasField("checksums"):
        session.declared_checksums.CopyFrom(request.checksums)
    return session


def _given(request: Any, field: str) -> timedelta | None:
    return getattr(request, field).ToTimedelta() if request.HasField(field) else None


def _mismatch(
    declared: resources.UploadSession,
    request: Any,
    data: bytes,
) -> errors.VerificationFailed | None:
    for size in _sizes(declared, request) - {len(data)}:
        facts = {"expectedSize": str(size), "actualSize": str(len(data))}
        return errors.SizeMismatch(facts=facts)
    for checksums in (declared.declared_checksums, request.checksums):
        for name, actual in _digests(data).items():
            if (expected := getattr(checksums, name).lower()) not in ("", actual):
                facts = {"algorithm": name, "expected": expected, "actual": actual}
                return errors.ChecksumMismatch(facts=facts)
    return None


def _sizes(declared: resources.UploadSession, request: Any) -> set[int]:
    sizes = {declared.declared_size_bytes} if declared.HasField("declared_size_bytes") else set()
    return sizes | ({request.size_bytes} if request.HasField("size_bytes") else set())


def _digests(data: bytes) -> dict[str, str]:
    md5 = hashlib.md5(data, usedforsecurity=False)
    return {"md5": md5.hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}


def _same_fields(message: Message, other: type[Message]) -> dict[str, Any]:
    # Of one name, but not of one meaning in each message.
    known = set(other.DESCRIPTOR.fields_by_name) - {"size_bytes", "expire_time"}
    return {field.name: value for field, value in message.ListFields() if field.name in known}
