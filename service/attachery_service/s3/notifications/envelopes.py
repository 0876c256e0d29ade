"""Unwraps a notification from the envelopes in which it may be delivered.

Object storage posts its events itself, or publishes them to Amazon SNS, EventBridge or SQS, or to
Google Pub/Sub, which post them in an envelope of their own. Envelopes nest: an event may go to a
topic, and from there to a queue. Formats:

- S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
- SNS: https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html; with raw delivery
  there is no envelope
- EventBridge: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
- Pub/Sub: https://cloud.google.com/pubsub/docs/push and
  https://cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from attachery_service.domain.object_created import NotificationKind

# S3 to EventBridge to SNS to SQS.
_MAX_DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification without its envelopes; `content` is untrusted and may be anything."""

    kind: NotificationKind
    content: Any


def unwrap(body: object, depth: int = 0) -> Iterator[Notification]:
    """Returns every notification in a decoded JSON body; UNKNOWN for an unrecognized form."""
    if depth > _MAX_DEPTH:
        yield Notification(NotificationKind.UNKNOWN, None)
    elif isinstance(body, list):
        for item in body:
            yield from unwrap(item, depth + 1)
    elif isinstance(body, dict):
        yield from _unwrap_object(body, depth + 1)
    else:
        yield Notification(NotificationKind.UNKNOWN, None)


def _unwrap_object(body: Mapping[str, Any], depth: int) -> Iterator[Notification]:
    match body:
        case {"Records": list(records)}:
            for record in records:
                yield from _unwrap_record(record, depth)
        case {"Type": "Notification", "Message": str(text)}:
            yield from _unwrap_text(text, depth)
        case {"body": str(text), "messageId": _}:  # of a queue, delivered by an EventBridge pipe
            yield from _unwrap_text(text, depth)
        case _:
            yield Notification(_kind_of(body), body)


def _unwrap_record(record: object, depth: int) -> Iterator[Notification]:
    match record:
        case {"body": str(text)} | {"Sns": {"Message": str(text)}}:  # of SQS, of SNS
            yield from _unwrap_text(text, depth)
        case _:
            yield Notification(NotificationKind.S3, record)


def _unwrap_text(text: str, depth: int) -> Iterator[Notification]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None  # an untrusted publisher may send any text to a topic
    yield from unwrap(body, depth)


def _kind_of(body: Mapping[str, Any]) -> NotificationKind:
    match body:
        case {"Type": "SubscriptionConfirmation"}:
            return NotificationKind.SUBSCRIPTION
        case {"Type": "UnsubscribeConfirmation"}:
            return NotificationKind.UNSUBSCRIPTION
        case {"Event": "s3:TestEvent"}:
            return NotificationKind.TEST
        case {"detail-type": str(_), "detail": _}:
            return NotificationKind.EVENTBRIDGE
        case {"message": {"attributes": {"eventType": _, "bucketId": _}}}:
            return NotificationKind.PUBSUB
    return NotificationKind.UNKNOWN
