"""Points in time and durations, between messages and Python.

Messages can hold more than Python can: a value out of range becomes the nearest end of the range,
which every rule rejects.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_NANOS = 1_000_000_000
_DAY = 86_400


def to_timedelta(message: duration_pb2.Duration) -> timedelta:
    if abs(message.nanos) >= _NANOS or message.seconds * message.nanos < 0:
        return timedelta.min
    try:
        return timedelta(seconds=message.seconds, microseconds=message.nanos / 1000)
    except OverflowError:
        return timedelta.max if message.seconds > 0 else timedelta.min


def given_timedelta(message: Message, field: str) -> timedelta | None:
    """Of a field that may be absent."""
    return to_timedelta(getattr(message, field)) if message.HasField(field) else None


def to_datetime(message: timestamp_pb2.Timestamp) -> datetime:
    if not 0 <= message.nanos < _NANOS:
        return _EPOCH
    try:
        moment = _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos / 1000)
    except OverflowError:
        return _LATEST if message.seconds > 0 else _EPOCH
    return min(max(moment, _EPOCH), _LATEST)


def from_timedelta(value: timedelta) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromTimedelta(value)
    return message


def from_datetime(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    if value is None:
        return None
    message = timestamp_pb2.Timestamp()
    write_datetime(message, value)
    return message


def write_datetime(message: timestamp_pb2.Timestamp, value: datetime) -> None:
    # The same result as FromDatetime, in a tenth of its time.
    since = value - _EPOCH
    message.seconds = since.days * _DAY + since.seconds
    message.nanos = since.microseconds * 1000
