"""ReleaseHold: end a hold before its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attachery_service.domain.holds import Hold, HoldRef
from attachery_service.domain.identity import Principal
from attachery_service.domain.policy import Policy
from attachery_service.ports.holds import HoldStore
from attachery_service.usecases.holds.lookup import require_found


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Succeeds for a hold that is released or has ended.

    Only the first release counts: a later one does not make the attachments consumed.
    """

    holds: HoldStore
    policies: Mapping[str, Policy]

    async def __call__(self, principal: Principal, ref: HoldRef, *, consumed: bool) -> Hold:
        """Raises HoldNotFound, DatabaseUnavailable."""
        hold = await self.holds.release(
            ref,
            principal.name,
            consumed=consumed,
            delete_when_consumed_purposes=[
                name for name, each in self.policies.items() if each.delete_when_consumed
            ],
        )
        return require_found(hold, ref)
