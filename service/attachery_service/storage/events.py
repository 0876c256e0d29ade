"""The events that S3 stores send, read as strictly as anything from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from attachery_service.domain import inputs
from attachery_service.domain.arrivals import Arrival, Events, MalformedEventsError
from attachery_service.storage.client import StorageOptions

# As AWS and Ceph name it; others put the name of the service before it.
_CREATED: Final = ("ObjectCreated:", "s3:ObjectCreated:")
# A tenant, an attachment and a nonce.
_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class EventReader:
    """Finds the arrivals below the prefix of one bucket."""

    options: StorageOptions

    def __call__(self, message: bytes) -> Events:
        """`{"Records": […]}`; a test event has none. Raises MalformedEventsError."""
        try:
            body = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise MalformedEventsError("not JSON") from error
        records = body.get("Records", []) if isinstance(body, dict) else None
        if not isinstance(records, list):
            raise MalformedEventsError("not a message of events")
        arrivals = [found for record in records if (found := self._arrival(record)) is not None]
        return Events(arrivals, ignored=len(records) - len(arrivals))

    def _arrival(self, record: object) -> Arrival | None:
        match record:
            case {
                "eventName": str(name),
                "s3": {"bucket": {"name": self.options.bucket}, "object": {"key": str(key)}},
            } if name.startswith(_CREATED):
                # AWS encodes the key as in a form, Ceph does not; ours differ by their prefix only.
                return self._of_key(key) or self._of_key(unquote_plus(key))
        return None

    def _of_key(self, key: str) -> Arrival | None:
        start = self.options.key("")
        parts = key.removeprefix(f"{start}/" if start else "").split("/")
        if len(parts) != _PARTS or self.options.key(*parts) != key:
            return None
        try:
            return Arrival(inputs.tenant_id(parts[0]), inputs.attachment_id(parts[1]), key)
        except inputs.Broken:
            return None
