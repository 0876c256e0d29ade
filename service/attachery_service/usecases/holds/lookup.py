"""Lookup of one hold by its id."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from attachery_service.domain.errors import HoldNotFound
from attachery_service.domain.holds import Hold


class HoldRef(Struct, frozen=True):
    """A validated id within its tenant."""

    tenant_id: str
    hold_id: UUID


def require_found(hold: Hold | None, ref: HoldRef) -> Hold:
    """Raises HoldNotFound."""
    if hold is None:
        raise HoldNotFound(holdId=ref.hold_id)
    return hold
