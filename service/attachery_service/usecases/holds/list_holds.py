"""ListHolds: live holds of an owner or on an attachment, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.holds import Hold, HoldFilter
from attachery_service.domain.pages import next_token
from attachery_service.ports.holds import HoldStore


class ListHoldsCommand(Struct, frozen=True, kw_only=True):
    """A validated ListHolds request. `after`: the last hold of the page before."""

    wanted: HoldFilter
    page_size: int
    after: UUID
    listing: Mapping[str, object]


class HoldListPage(Struct, frozen=True):
    """Holds, and the token of the page after them; empty on the last page."""

    holds: Sequence[Hold]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ListHolds:
    holds: HoldStore

    async def __call__(self, command: ListHoldsCommand) -> HoldListPage:
        """Raises DatabaseUnavailable."""
        size = command.page_size
        # One more than requested shows whether there is another page.
        found = await self.holds.page(command.wanted, command.after, size + 1)
        ids = [hold.hold_id for hold in found]
        return HoldListPage(found[:size], next_token(ids, size, command.listing))
