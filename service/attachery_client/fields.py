"""From plain arguments to the fields of request messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import resources_pb2 as resources

DispositionName = Literal["attachment", "inline"]

_DISPOSITIONS = {
    None: resources.DISPOSITION_UNSPECIFIED,
    "attachment": resources.DISPOSITION_ATTACHMENT,
    "inline": resources.DISPOSITION_INLINE,
}


def new_request_id() -> str:
    return str(uuid4())


def checksums(digests: Mapping[str, str] | None) -> resources.Checksums | None:
    """Hexadecimal digests by algorithm. Raises ValueError for an algorithm there is not."""
    return resources.Checksums(**digests) if digests else None


def disposition(name: DispositionName | None) -> resources.Disposition.ValueType:
    """Raises ValueError for a name there is not."""
    if name not in _DISPOSITIONS:
        raise ValueError("disposition must be 'attachment', 'inline' or None")
    return _DISPOSITIONS[name]


def duration(value: timedelta | None) -> Duration | None:
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message


def timestamp(value: datetime | None) -> Timestamp | None:
    """Raises ValueError for a time without a zone: whose clock it is of, cannot be told."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time must have a time zone, as datetime.now(UTC) has")
    message = Timestamp()
    message.FromDatetime(value)
    return message
