"""From plain arguments to the fields of request messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import attachments_pb2 as attachments
from attachery.v1 import resources_pb2 as resources
from attachery.v1 import upload_sessions_pb2 as sessions

DispositionName = Literal["attachment", "inline"]
HoldModeName = Literal["add", "replace"]
StateName = Literal["pending", "ready", "failed", "cancelled", "expired", "deleted"]

_DISPOSITIONS = {
    None: resources.DISPOSITION_UNSPECIFIED,
    "attachment": resources.DISPOSITION_ATTACHMENT,
    "inline": resources.DISPOSITION_INLINE,
}
_HOLD_MODES = {
    "add": attachments.HOLD_MODE_ADD,
    "replace": attachments.HOLD_MODE_REPLACE,
}


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A session of a batch; its bytes must match these values and those declared at the start."""

    attachment_id: str
    checksums: Mapping[str, str] | None = None
    size_bytes: int | None = None


def new_request_id() -> str:
    return str(uuid4())


def hold_owner(name: str | None, ttl: timedelta | None, mode: HoldModeName) -> str:
    """A new owner for a new hold without one, so that a retry does not take a second hold."""
    needs_name = name is None and ttl is not None and mode == "add"
    return str(uuid4()) if needs_name else name or ""


def hold_mode(name: HoldModeName) -> attachments.HoldMode.ValueType:
    """Raises ValueError for an unknown name."""
    if name not in _HOLD_MODES:
        raise ValueError("hold_mode must be 'add' or 'replace'")
    return _HOLD_MODES[name]


def checksums(digests: Mapping[str, str] | None) -> resources.Checksums | None:
    """Hexadecimal digests by algorithm. Raises ValueError for an unknown algorithm."""
    return resources.Checksums(**digests) if digests else None


def disposition(name: DispositionName | None) -> resources.Disposition.ValueType:
    """Raises ValueError for an unknown name."""
    if name not in _DISPOSITIONS:
        raise ValueError("disposition must be 'attachment', 'inline' or None")
    return _DISPOSITIONS[name]


def state(name: StateName) -> resources.UploadSessionState.ValueType:
    """Raises ValueError for an unknown name."""
    return resources.UploadSessionState.Value(f"UPLOAD_SESSION_STATE_{name.upper()}")


def duration(value: timedelta | None) -> Duration | None:
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message


def timestamp(value: datetime | None) -> Timestamp | None:
    """Raises ValueError for a time without a time zone, which is ambiguous."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time must have a time zone, as datetime.now(UTC) has")
    message = Timestamp()
    message.FromDatetime(value)
    return message


def batch_item(item: str | BatchItem) -> sessions.BatchCompleteUploadSessionsRequest.Item:
    """Raises ValueError for an unknown algorithm."""
    given = BatchItem(item) if isinstance(item, str) else item
    return sessions.BatchCompleteUploadSessionsRequest.Item(
        attachment_id=given.attachment_id,
        checksums=checksums(given.checksums),
        size_bytes=given.size_bytes,
    )
