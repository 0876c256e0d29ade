"""GetHold: a hold, and the ids of its attachments page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from msgspec import Struct

from attachery_service.domain.holds import Hold, HoldRef
from attachery_service.domain.pages import next_token
from attachery_service.ports.holds import HoldStore
from attachery_service.usecases.holds.lookup import require_found


class GetHoldCommand(Struct, frozen=True, kw_only=True):
    """A validated GetHold request. `after`: the last id of the page before."""

    ref: HoldRef
    page_size: int
    after: UUID
    listing: Mapping[str, object]


class HoldPage(Struct, frozen=True):
    """A hold, ids of its attachments, and the token of the page after them; empty on the last."""

    hold: Hold
    attachment_ids: Sequence[UUID]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class GetHold:
    holds: HoldStore

    async def __call__(self, command: GetHoldCommand) -> HoldPage:
        """Raises HoldNotFound, DatabaseUnavailable."""
        size = command.page_size
        # One more than requested shows whether there is another page.
        read = await self.holds.get(command.ref, command.after, size + 1)
        found = require_found(read, command.ref)
        ids = found.attachment_ids
        return HoldPage(found.hold, ids[:size], next_token(ids, size, command.listing))
