"""ExtendHold: a hold ends later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from attachery_service.domain import inputs
from attachery_service.domain.holds import MAX_TTL, MIN_TTL, Hold
from attachery_service.ports.holds import HoldStore
from attachery_service.usecases.holds.lookup import read_ref, require_found


@dataclass(frozen=True, slots=True)
class ExtendHold:
    """Never earlier: asking for less than is left changes nothing and succeeds."""

    holds: HoldStore

    async def __call__(self, tenant_id: str, hold_id: str, ttl: timedelta | None) -> Hold:
        """Raises InvalidRequest, HoldNotFound, HoldExpired, HoldReleased, DatabaseUnavailable."""
        reader = inputs.Reader()
        ref = read_ref(reader, tenant_id, hold_id)
        # None is out of range here: how long, is what this call is about.
        lifetime = timedelta() if ttl is None else ttl
        rule = inputs.duration_between(MIN_TTL, MAX_TTL)
        reader.take("ttl", "INVALID_HOLD_TTL", rule, lifetime)
        reader.done()
        found = await self.holds.extend(ref.tenant_id, ref.hold_id, lifetime)
        hold = require_found(found, ref)
        hold.require_live()
        return hold
