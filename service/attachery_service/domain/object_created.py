"""Notifications of object storage about created objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class MalformedEventsError(ValueError):
    """The message has no form that object storage sends."""


class ObjectCreated(Struct, frozen=True):
    """A reported object under a key of this session. The report may be false."""

    tenant_id: str
    attachment_id: UUID
    key: str


class NotificationKind(StrEnum):
    """The form of a notification, without the envelopes it was delivered in.

    TEST: S3's greeting when notifications are switched on. SUBSCRIPTION, UNSUBSCRIPTION: SNS asks
    for the confirmation of one, or has ended one.
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

    `topic`: its ARN. `confirm_url`: confirms it. None for values that SNS would not send.
    """

    topic: str | None
    confirm_url: str | None
    has_ended: bool


class Events(Struct, frozen=True):
    """The content of one message. `ignored`: the number of events about other things."""

    created: Sequence[ObjectCreated]
    ignored: int
    kinds: Mapping[NotificationKind, int]
    subscriptions: Sequence[Subscription]


class NotificationOutcome(StrEnum):
    """The result for one object, or for a whole message that was refused.

    UNFINISHED: the bytes are bad or not visible yet, or another call was faster. POSTPONED: a
    fault; the sweep completes the session.
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
