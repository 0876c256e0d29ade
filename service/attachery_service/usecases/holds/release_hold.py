"""ReleaseHold: the holder needs the bytes no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attachery_service.domain import inputs
from attachery_service.domain.holds import Hold
from attachery_service.domain.identity import Principal
from attachery_service.domain.policy import Policy
from attachery_service.ports.holds import HoldStore
from attachery_service.usecases.holds.lookup import read_ref, require_found


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Releasing what is released, or has ended by itself, succeeds. Only the first release counts:
    a later one makes nothing consumed.
    """

    holds: HoldStore
    policies: Mapping[str, Policy]

    async def __call__(
        self, principal: Principal, tenant_id: str, hold_id: str, *, consumed: bool
    ) -> Hold:
        """Raises InvalidRequest, HoldNotFound, DatabaseUnavailable."""
        reader = inputs.Reader()
        ref = read_ref(reader, tenant_id, hold_id)
        reader.done()
        hold = await self.holds.release(
            ref.tenant_id,
            ref.hold_id,
            principal.name,
            consumed=consumed,
            perishable=[name for name, each in self.policies.items() if each.delete_when_consumed],
        )
        return require_found(hold, ref)
