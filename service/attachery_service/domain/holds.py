"""Holds: leases on the bytes of attachments."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.errors import HoldExpired, HoldReleased

MIN_TTL = timedelta(seconds=1)
MAX_TTL = timedelta(days=7)

# The largest hold: calls with the same owner add to it, and extend it for all its attachments.
MAX_ATTACHMENTS = 10_000


class NewHold(Struct, frozen=True, kw_only=True):
    """A new hold, or an extension of the caller's existing hold with the same owner.

    It ends `ttl` after the database's current time. A hold with an empty `owner` is always new.
    """

    tenant_id: str
    hold_id: UUID
    owner: str
    created_by: str
    ttl: timedelta


class Hold(Struct, frozen=True, kw_only=True):
    """A hold as stored at `read_time`, the database's clock."""

    tenant_id: str
    hold_id: UUID
    owner: str
    create_time: datetime
    expire_time: datetime
    release_time: datetime | None
    consumed: bool
    attachment_count: int
    read_time: datetime

    @property
    def time_left(self) -> timedelta:
        """The time until it expires; zero once it has ended."""
        if self.release_time is not None:
            return timedelta()
        return max(self.expire_time - self.read_time, timedelta())

    def require_live(self) -> None:
        """Raises HoldReleased, HoldExpired."""
        if self.release_time is not None:
            raise HoldReleased(holdId=self.hold_id, releaseTime=self.release_time.isoformat())
        if not self.time_left:
            raise HoldExpired(holdId=self.hold_id, expireTime=self.expire_time.isoformat())
