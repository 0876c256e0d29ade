"""Cursors of pages: a place in an ordered list (keyset), as an opaque token."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

_CHECK_BYTES = 12


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The last session of a page."""

    create_time: datetime
    attachment_id: UUID

    def token(self, listing: Mapping[str, object]) -> str:
        return to_token(f"{self.create_time.isoformat()} {self.attachment_id}", listing)

    @classmethod
    def of(cls, token: str, listing: Mapping[str, object]) -> Self | None:
        """Returns None if the token is not of this listing."""
        create_time, _, attachment_id = (of_token(token, listing) or "").partition(" ")
        try:
            return cls(datetime.fromisoformat(create_time).astimezone(UTC), UUID(attachment_id))
        except (ValueError, OverflowError):
            return None  # the check is not secret, so its content may be invalid


def next_token(ids: Sequence[UUID], size: int, listing: Mapping[str, object]) -> str:
    """Returns the token of the page after the first `size` ids; empty if that is empty."""
    return to_token(str(ids[size - 1]), listing) if len(ids) > size else ""


def id_of_token(token: str, listing: Mapping[str, object]) -> UUID | None:
    """Returns the last id of the page before, or None if the token is not of this listing."""
    try:
        return UUID(of_token(token, listing) or "")
    except ValueError:
        return None


def to_token(place: str, listing: Mapping[str, object]) -> str:
    """Encodes a place in one listing. Any change to either invalidates the token.

    It grants nothing: its user needs the right to list.
    """
    raw = place.encode()
    return base64.urlsafe_b64encode(_check(raw, listing) + raw).decode().rstrip("=")


def of_token(token: str, listing: Mapping[str, object]) -> str | None:
    """Returns the place, or None if the token is not of this listing."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        check, place = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        text = place.decode()
    except ValueError:
        return None
    canonical = base64.urlsafe_b64encode(raw).decode().rstrip("=") == token
    return text if canonical and check == _check(place, listing) else None


def _check(place: bytes, listing: Mapping[str, object]) -> bytes:
    canonical = json.dumps(listing, sort_keys=True, default=str).encode()
    return hashlib.sha256(place + b"\0" + canonical).digest()[:_CHECK_BYTES]
