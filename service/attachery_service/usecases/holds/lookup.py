"""Reading the id of one hold."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain import inputs
from attachery_service.domain.errors import HoldNotFound
from attachery_service.domain.holds import Hold


@dataclass(frozen=True, slots=True)
class HoldRef:
    """A validated id within its tenant."""

    tenant_id: str
    hold_id: UUID


def read_ref(reader: inputs.Reader, tenant_id: str, hold_id: str) -> HoldRef:
    return HoldRef(
        reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, tenant_id),
        reader.take("hold_id", "INVALID_HOLD_ID", inputs.hold_id, hold_id),
    )


def require_found(hold: Hold | None, ref: HoldRef) -> Hold:
    """Raises HoldNotFound."""
    if hold is None:
        raise HoldNotFound(holdId=ref.hold_id)
    return hold
