"""The sweep's statements in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attachery_service.domain.sweeping import SweptSession


class SweepStore(Protocol):
    """Changes sessions and rows that are due. All methods raise DatabaseUnavailable."""

    async def sweep(self, limit: int) -> Sequence[SweptSession]:
        """Changes up to `limit` due sessions, the longest due first."""

    async def confirm_disposal(self, disposed: Sequence[SweptSession]) -> None:
        """Records that the dead objects are deleted. A session that changed since stays due."""

    async def prune_expired(self, limit: int) -> bool:
        """Deletes up to `limit` expired request ids, holds and revocations each.

        Returns True if more may remain.
        """
