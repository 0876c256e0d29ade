"""Holds in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from attachery_service.domain.holds import Hold, NewHold
from attachery_service.domain.lookups import HoldResult


class HoldStore(Protocol):
    """Takes, extends and releases holds. All methods raise DatabaseUnavailable."""

    async def take(
        self, new: NewHold, attachment_ids: Sequence[UUID], *, all_or_nothing: bool
    ) -> HoldResult:
        """Reads those of the sessions that exist, and holds the usable ones in the same statement.

        The ids are distinct. `all_or_nothing`: holds nothing unless every session is usable. Raises
        InvalidRequest if the owner's hold would become too large.
        """

    async def extend(self, tenant_id: str, hold_id: UUID, ttl: timedelta) -> Hold | None:
        """Extends a hold that has not ended to at least `ttl` from now.

        Returns None if the tenant has no hold of this id.
        """

    async def release(
        self,
        tenant_id: str,
        hold_id: UUID,
        actor: str,
        *,
        consumed: bool,
        delete_when_consumed_purposes: Collection[str],
    ) -> Hold | None:
        """Releases a hold, unless it was released before. Returns None if there is no such id.

        If `consumed`, its attachments of `delete_when_consumed_purposes` become DELETED where no
        other hold remains.
        """
