"""Holds: leases on the bytes of attachments."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.errors import HoldExpired, HoldReleased

# The shortest and the longest time of a hold.
HOLD_TTLS = (timedelta(seconds=1), timedelta(days=7))

# The largest hold: calls with the same owner add to it, and extend it for all its attachments.
MAX_ATTACHMENTS = 10_000


class HoldRef(Struct, frozen=True, kw_only=True):
    """The name of a hold: its id, or if that is None its owner, and the principal that took it.

    An owner names a live hold only.
    """

    tenant_id: str
    hold_id: UUID | None
    owner: str
    created_by: str


class HoldFilter(Struct, frozen=True, kw_only=True):
    """Selects live holds of all principals: of an owner unless empty, on an attachment if given."""

    tenant_id: str
    owner: str
    attachment_id: UUID | None


class NewHold(Struct, frozen=True, kw_only=True):
    """A new hold, or an extension of the caller's existing hold with the same owner.

    It ends `ttl` after the database's current time. A hold with an empty `owner` is always new.
    `replaces`: attachments of the existing hold that are not requested leave it.
    """

    tenant_id: str
    hold_id: UUID
    owner: str
    created_by: str
    ttl: timedelta
    replaces: bool = False


class Hold(Struct, frozen=True, kw_only=True):
    """A hold as stored at `read_time`, the database's clock."""

    tenant_id: str
    hold_id: UUID
    owner: str
    created_by: str
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

    @property
    def is_released_early(self) -> bool:
        """Whether it was released before it expired."""
        return self.release_time is not None and self.release_time < self.expire_time

    def require_live(self) -> None:
        """Raises HoldReleased, HoldExpired."""
        if self.release_time is not None:
            raise HoldReleased(holdId=self.hold_id, releaseTime=self.release_time.isoformat())
        if not self.time_left:
            raise HoldExpired(holdId=self.hold_id, expireTime=self.expire_time.isoformat())
