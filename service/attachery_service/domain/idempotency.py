"""Request ids: the same id with the same payload has the same outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from attachery_service.domain.checks import Check
from attachery_service.domain.errors import RequestIdReused

_NOT_GIVEN: tuple[object, ...] = (None, "", {})

REQUEST_ID_LIFETIME = timedelta(hours=24)


class RequestKey(Struct, frozen=True):
    """A request id within its method and subject, and the digest of the payload it came with."""

    method: str
    request_id: str
    payload_digest: bytes


class Outcome(Struct, frozen=True):
    """The stored outcome of a request id: the checks of a Complete; other methods store none."""

    payload_digest: bytes
    checks: tuple[Check, ...] = ()

    def require_same_payload(self, request: RequestKey) -> None:
        """Raises RequestIdReused."""
        if self.payload_digest != request.payload_digest:
            raise RequestIdReused(field="request_id")


def request_key(
    method: str,
    request_id: str | None,
    payload: Mapping[str, object],
    subject: str | None = None,
) -> RequestKey | None:
    """Returns the key of a request, or None without an id.

    `payload` is the part of the request that decides its outcome. Empty fields are omitted, so
    releases with more and with fewer fields agree. The request ids of each `subject` of connection
    tokens are its own: a participant cannot reach another's outcome, nor one of an API key, by
    guessing an id.
    """
    if request_id is None:
        return None
    if subject is not None:
        method = f"{method}/{subject}"
    canonical = json.dumps(given(payload), sort_keys=True, default=str).encode()
    return RequestKey(method, request_id, hashlib.sha256(canonical).digest())


def given(payload: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields that are not empty, of a payload or of its parts. A size of 0 is given."""
    return {
        name: value
        for name, value in payload.items()
        if value is not False and value not in _NOT_GIVEN
    }
