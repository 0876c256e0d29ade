"""The values that an audit compares, and its findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.pages import of_token, to_token
from attachery_service.domain.quota import Usage
from attachery_service.domain.sessions import SealedObject

# The sweep takes seconds for a due session. A session that is later than this is overdue.
GRACE = timedelta(minutes=5)


class Kind(StrEnum):
    """The kind of a finding."""

    OBJECT_MISSING = "object_missing"
    OBJECT_CHANGED = "object_changed"
    OBJECT_ORPHANED = "object_orphaned"
    SESSION_OVERDUE = "session_overdue"
    USAGE_DIFFERS = "usage_differs"
    HOLD_DIFFERS = "hold_differs"


class Finding(Struct, frozen=True, kw_only=True):
    """A difference between the database and object storage, or within the database.

    `since_time`: when an orphan was created, or when an overdue session was due; None for a session
    that will be swept too late.
    """

    kind: Kind
    attachment_id: UUID | None = None
    key: str = ""
    expected: str = ""
    actual: str = ""
    since_time: datetime | None = None


class AuditCursor(Struct, frozen=True):
    """The last session and the last object that were compared, None and empty before the first.

    `path` is the object's key without the tenant's prefix.
    """

    attachment_id: UUID | None = None
    path: str = ""

    def token(self, tenant_id: str) -> str:
        return to_token(f"{self.attachment_id or ''} {self.path}", _listing(tenant_id))

    @classmethod
    def of(cls, token: str, tenant_id: str) -> Self | None:
        """Returns None if the token is not of an audit of this tenant."""
        attachment_id, space, path = (of_token(token, _listing(tenant_id)) or "").partition(" ")
        try:
            return cls(UUID(attachment_id) if attachment_id else None, path) if space else None
        except ValueError:
            return None  # the check is not secret, so its content may be invalid


START = AuditCursor()


class ListedObject(Struct, frozen=True, kw_only=True):
    """An object of a listing. `attachment_id` None: not a key of this service.

    `path` is its key without the tenant's prefix. Size in bytes.
    """

    key: str
    path: str
    attachment_id: UUID | None
    etag: str
    size: int
    update_time: datetime

    def orphaned(self) -> Finding:
        return Finding(
            kind=Kind.OBJECT_ORPHANED,
            attachment_id=self.attachment_id,
            key=self.key,
            actual=_object_text(self.etag, self.size),
            since_time=self.update_time,
        )


class AuditedSession(Struct, frozen=True, kw_only=True):
    """The part of a session that an audit needs, at `read_time`, the database's clock.

    `expected_object`: the object that must exist, with its size in bytes; None if there is none.
    `expected_keys`: other objects that may exist, being uploaded or not deleted yet. `in_flight`: a
    call may be creating an object that no row names yet. `next_due_time`: when the sweep has to
    change the session; `due_time`: when it will. `held_until`: the end of the holds, by the
    session's row; `holds_end_time`: by the hold rows; None where they have ended.
    """

    attachment_id: UUID
    expected_object: SealedObject | None
    size: int | None
    expected_keys: frozenset[str]
    in_flight: bool
    due_time: datetime
    next_due_time: datetime
    held_until: datetime | None
    holds_end_time: datetime | None
    read_time: datetime

    @property
    def path(self) -> str:
        """Sorts before every path of its objects."""
        return f"{self.attachment_id}/"

    def may_have(self, key: str) -> bool:
        expected = self.expected_object
        is_expected = expected is not None and expected.key == key
        return is_expected or key in self.expected_keys or self.in_flight

    def findings(self) -> Iterator[Finding]:
        """Returns the findings of the row itself."""
        if self.due_time <= self.read_time - GRACE:
            yield self._overdue(since=self.due_time)
        elif self.due_time > self.next_due_time:
            yield self._overdue(since=None)
        if self.held_until != self.holds_end_time:
            yield Finding(
                kind=Kind.HOLD_DIFFERS,
                attachment_id=self.attachment_id,
                expected=_time_text(self.holds_end_time),
                actual=_time_text(self.held_until),
            )

    def damage(self, etag: str | None, size: int | None) -> Finding | None:
        """Compares the expected object with the stored ETag and size; None if it is missing."""
        expected = self.expected_object
        if expected is None or (etag, size) == (expected.etag, self.size):
            return None
        return Finding(
            kind=Kind.OBJECT_MISSING if etag is None else Kind.OBJECT_CHANGED,
            attachment_id=self.attachment_id,
            key=expected.key,
            expected=_object_text(expected.etag, self.size),
            actual="" if etag is None else _object_text(etag, size),
        )

    def _overdue(self, *, since: datetime | None) -> Finding:
        return Finding(
            kind=Kind.SESSION_OVERDUE,
            attachment_id=self.attachment_id,
            expected=_time_text(min(self.next_due_time, self.due_time)),
            actual=_time_text(self.due_time),
            since_time=since,
        )


def usage_finding(counted: Usage, actual: Usage) -> Finding | None:
    """Compares a tenant's counters with the sums over its sessions."""
    if counted == actual:
        return None
    return Finding(
        kind=Kind.USAGE_DIFFERS, expected=_usage_text(actual), actual=_usage_text(counted)
    )


def _listing(tenant_id: str) -> dict[str, object]:
    return {"audit": tenant_id}


def _object_text(etag: str, size: int | None) -> str:
    return f"etag {etag}, {size} bytes"


def _usage_text(usage: Usage) -> str:
    by_purpose = ", ".join(f"{name} {count}" for name, count in sorted(usage.by_purpose.items()))
    return (
        f"{usage.pending_sessions} pending sessions, {usage.pending_bytes} pending bytes, "
        f"{usage.stored_bytes} stored bytes, {usage.attachments} attachments ({by_purpose})"
    )


def _time_text(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()


class ObjectPage(Struct, frozen=True):
    """A page of objects in the order of their keys, and whether more may follow."""

    objects: Sequence[ListedObject]
    more: bool
