"""Lookup of one hold by its name."""

from __future__ import annotations

from typing import TypeVar

from attachery_service.domain.errors import HoldNotFound
from attachery_service.domain.holds import HoldRef

T = TypeVar("T")


def require_found(found: T | None, ref: HoldRef) -> T:
    """Raises HoldNotFound."""
    if found is not None:
        return found
    if ref.hold_id is None:
        raise HoldNotFound(holdOwner=ref.owner)
    raise HoldNotFound(holdId=ref.hold_id)
