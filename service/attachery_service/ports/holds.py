"""Holds in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from attachery_service.domain.holds import Hold, HoldFilter, HoldRef, NewHold
from attachery_service.domain.lookups import HoldContent, HoldResult


class HoldStore(Protocol):
    """Takes, reads, extends and releases holds. All methods raise DatabaseUnavailable."""

    async def take(
        self, new: NewHold, attachment_ids: Sequence[UUID], *, all_or_nothing: bool
    ) -> HoldResult:
        """Reads those of the sessions that exist, and holds the usable ones in the same statement.

        The ids are distinct. `all_or_nothing`: holds nothing unless every session is usable. Raises
        InvalidRequest if the owner's hold would become too large.
        """

    async def get(self, ref: HoldRef, after: UUID, limit: int) -> HoldContent | None:
        """Reads a hold with up to `limit` of its attachments, those with an id above `after`.

        Returns None if there is no such hold.
        """

    async def page(self, wanted: HoldFilter, after: UUID, limit: int) -> Sequence[Hold]:
        """Returns up to `limit` live holds with an id above `after`, in the order of their ids."""

    async def extend(self, ref: HoldRef, ttl: timedelta) -> Hold | None:
        """Extends a hold that has not ended to at least `ttl` from now.

        Returns None if there is no such hold.
        """

    async def release(
        self,
        ref: HoldRef,
        actor: str,
        *,
        consumed: bool,
        delete_when_consumed_purposes: Collection[str],
    ) -> Hold | None:
        """Releases a hold, unless it was released before. Returns None if there is no such hold.

        If `consumed`, its attachments of `delete_when_consumed_purposes` become DELETED where no
        other hold remains.
        """

    async def release_of_owner(self, tenant_id: str, owner: str, created_by: str) -> Hold | None:
        """Releases the owner's hold, even if it has expired. Returns None if there is none."""
