"""What the store says of its own accord: that an object has arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class MalformedEventsError(ValueError):
    """It is none of what a store sends."""


class Arrival(Struct, frozen=True):
    """An object that is said to have arrived under a key of this session. It may be untrue."""

    tenant_id: str
    attachment_id: UUID
    key: str


class NotificationKind(StrEnum):
    """The form of a notification, without the envelopes it was delivered in.

    TEST: S3's greeting when notifications are switched on. SUBSCRIPTION, UNSUBSCRIPTION: SNS wants
    one to be confirmed, or has ended one.
    """

    S3 = "s3"
    EVENTBRIDGE = "eventbridge"
    PUBSUB = "pubsub"
    TEST = "test"
    SUBSCRIPTION = "subscription"
    UNSUBSCRIPTION = "unsubscription"
    UNKNOWN = "unknown"


class Subscription(Struct, frozen=True):
    """An SNS subscription that waits for an operator to confirm it, or that has ended.

    `topic`: its ARN. `confirm_url`: confirms it. None for what SNS would not send.
    """

    topic: str | None
    confirm_url: str | None
    has_ended: bool


class Events(Struct, frozen=True):
    """The content of one message. `ignored`: the number of events about other things."""

    arrivals: Sequence[Arrival]
    ignored: int
    kinds: Mapping[NotificationKind, int]
    subscriptions: Sequence[Subscription]


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
