"""The notifications of object storage, whose content is untrusted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from attachery_service.domain.identifiers import parse_tenant_id, parse_uuid
from attachery_service.domain.object_created import (
    Events,
    MalformedEventsError,
    NotificationKind,
    ObjectCreated,
)
from attachery_service.domain.validation import RuleViolation
from attachery_service.s3.client import StorageOptions
from attachery_service.s3.notifications.envelopes import Notification, unwrap
from attachery_service.s3.notifications.subscriptions import subscription

# As AWS and Ceph name it; MinIO and others prepend the name of the service.
_CREATED: Final = ("ObjectCreated:", "s3:ObjectCreated:")
# A tenant, an attachment and a nonce.
_PARTS: Final = 3

_CONFIRMATIONS: Final = (NotificationKind.SUBSCRIPTION, NotificationKind.UNSUBSCRIPTION)
_EXPECTED: Final = (NotificationKind.TEST, *_CONFIRMATIONS)


@dataclass(frozen=True, slots=True)
class EventReader:
    """Finds notifications about created objects below the prefix of one bucket."""

    options: StorageOptions

    def read(self, message: bytes) -> Events:
        """Reads a message in any of the forms of `envelopes`. Raises MalformedEventsError."""
        notifications = _notifications(message)
        created = [found for n in notifications if (found := self._created(n)) is not None]
        about_objects = [n for n in notifications if n.kind not in _EXPECTED]
        return Events(
            created,
            ignored=len(about_objects) - len(created),
            kinds=Counter(n.kind for n in notifications),
            subscriptions=[
                subscription(n.content, has_ended=n.kind is NotificationKind.UNSUBSCRIPTION)
                for n in notifications
                if n.kind in _CONFIRMATIONS
            ],
        )

    def _created(self, notification: Notification) -> ObjectCreated | None:
        bucket = self.options.bucket
        match notification.kind, notification.content:
            case NotificationKind.S3, {
                "eventName": str(name),
                "s3": {"bucket": {"name": str(found)}, "object": {"key": str(key)}},
            } if found == bucket and name.startswith(_CREATED):
                # AWS form-encodes the key, Ceph does not; the service's own keys differ by their
                # prefix only.
                return self._of_key(key) or self._of_key(unquote_plus(key))
            case NotificationKind.EVENTBRIDGE, {
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": str(found)}, "object": {"key": str(key)}},
            } if found == bucket:
                return self._of_key(key)
            case NotificationKind.PUBSUB, {
                "message": {
                    "attributes": {
                        "eventType": "OBJECT_FINALIZE",
                        "bucketId": str(found),
                        "objectId": str(key),
                    }
                }
            } if found == bucket:
                return self._of_key(key)
        return None

    def _of_key(self, key: str) -> ObjectCreated | None:
        start = self.options.key("")
        parts = key.removeprefix(f"{start}/" if start else "").split("/")
        if len(parts) != _PARTS or self.options.key(*parts) != key:
            return None
        try:
            return ObjectCreated(parse_tenant_id(parts[0]), parse_uuid(parts[1]), key)
        except RuleViolation:
            return None


def _notifications(message: bytes) -> list[Notification]:
    try:
        body = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise MalformedEventsError("not JSON") from error
    records = body.get("Records", []) if isinstance(body, dict) else body
    is_batch = isinstance(body, list) and bool(body)
    if not is_batch and not (isinstance(body, dict) and isinstance(records, list)):
        raise MalformedEventsError("not a message of events")
    return list(unwrap(body))
