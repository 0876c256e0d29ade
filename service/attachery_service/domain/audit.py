"""What an audit compares, and what it may find. No judgement here waits on anything outside."""

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

# What is due is looked at within seconds. Later than this, nobody looks.
GRACE = timedelta(minutes=5)


class Kind(StrEnum):
    """What is wrong."""

    OBJECT_MISSING = "object_missing"
    OBJECT_CHANGED = "object_changed"
    OBJECT_ORPHANED = "object_orphaned"
    SESSION_OVERDUE = "session_overdue"
    USAGE_DIFFERS = "usage_differs"
    HOLD_DIFFERS = "hold_differs"


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is not as it should be. Texts are empty where there is nothing to say.

    `since_time`: since when an orphan is there, or an overdue session was to be looked at; None for
    one that will be looked at too late.
    """

    kind: Kind
    attachment_id: UUID | None = None
    key: str = ""
    expected: str = ""
    actual: str = ""
    since_time: datetime | None = None


class AuditCursor(Struct, frozen=True):
    """The last session and the last object that were looked at, None and empty before the first.

    `path` is the object's key without what all of the tenant's begin with.
    """

    attachment_id: UUID | None = None
    path: str = ""

    def token(self, tenant_id: str) -> str:
        return to_token(f"{self.attachment_id or ''} {self.path}", _listing(tenant_id))

    @classmethod
    def of(cls, token: str, tenant_id: str) -> Self | None:
        """None if the token is not of an audit of this tenant."""
        attachment_id, space, path = (of_token(token, _listing(tenant_id)) or "").partition(" ")
        try:
            return cls(UUID(attachment_id) if attachment_id else None, path) if space else None
        except ValueError:
            return None  # the check can be computed by whoever cares to


START = AuditCursor()


class ListedObject(Struct, frozen=True, kw_only=True):
    """An object as a listing tells of it. `attachment_id` None: no key of this service's.

    `path` is its key without what all of the tenant's begin with. Size in bytes.
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
    """What an audit needs of a session, as of `read_time`, the database's clock.

    `promised`: the object that whoever resolves it may count on, with its size in bytes; None where
    there is none. `awaited_keys`: what may be there beside it, being uploaded or yet to be deleted.
    `unsettled`: a call may be making an object that no row names yet. `next_due_time` is when the
    sweep has to look at it, `due_time` when it will. `held_until` is what the session says of its
    holds, `holds_end_time` what they say; None where they have ended.
    """

    attachment_id: UUID
    promised: SealedObject | None
    size: int | None
    awaited_keys: frozenset[str]
    unsettled: bool
    due_time: datetime
    next_due_time: datetime
    held_until: datetime | None
    holds_end_time: datetime | None
    read_time: datetime

    @property
    def path(self) -> str:
        """Before every path of its objects, in the order of the listing."""
        return f"{self.attachment_id}/"

    def may_have(self, key: str) -> bool:
        kept = self.promised is not None and self.promised.key == key
        return kept or key in self.awaited_keys or self.unsettled

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the row itself."""
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
        """What is wrong with the promised object, seen with this ETag and size; None: missing."""
        if self.promised is None or (etag, size) == (self.promised.etag, self.size):
            return None
        return Finding(
            kind=Kind.OBJECT_MISSING if etag is None else Kind.OBJECT_CHANGED,
            attachment_id=self.attachment_id,
            key=self.promised.key,
            expected=_object_text(self.promised.etag, self.size),
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
    """Of a tenant's counters, and what its sessions add up to."""
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
    return (
        f"{usage.pending_sessions} pending sessions, {usage.pending_bytes} pending bytes, "
        f"{usage.stored_bytes} stored bytes"
    )


def _time_text(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()


class ObjectPage(Struct, frozen=True):
    """Some objects in the order of their keys, and whether there may be more."""

    objects: Sequence[ListedObject]
    more: bool
