"""ExtendHold: move the end of a hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from attachery_service.domain.holds import Hold, HoldRef
from attachery_service.ports.holds import HoldStore
from attachery_service.usecases.holds.lookup import require_found


@dataclass(frozen=True, slots=True)
class ExtendHold:
    """Never shortens a hold: a shorter time than is left changes nothing and succeeds."""

    holds: HoldStore

    async def __call__(self, ref: HoldRef, ttl: timedelta) -> Hold:
        """Raises HoldNotFound, HoldExpired, HoldReleased, DatabaseUnavailable."""
        hold = require_found(await self.holds.extend(ref, ttl), ref)
        hold.require_live()
        return hold
