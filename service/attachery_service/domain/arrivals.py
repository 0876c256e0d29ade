"""What the store says of its own accord: that an object has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class MalformedEventsError(ValueError):
    """It is none of what a store sends."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that is said to have arrived under a key of this session. It may be untrue."""

    tenant_id: str
    attachment_id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class Events:
    """What one message of the store comes to. `ignored`: how many events are about other things."""

    arrivals: Sequence[Arrival]
    ignored: int


class NotificationOutcome(StrEnum):
    """What became of a notification: of one object, or of a message that was refused as a whole.

    UNFINISHED: the bytes are bad, not there to be seen yet, or somebody else was faster. POSTPONED:
    a fault; the sweep completes the session.
    """

    COMPLETED = "completed"
    UNFINISHED = "unfinished"
    POSTPONED = "postponed"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    FORBIDDEN = "forbidden"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
