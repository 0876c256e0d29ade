"""ListUploadSessions: a tenant's sessions, the newest first, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from attachery_service.domain.pages import PageCursor
from attachery_service.domain.sessions import SessionFilter, UploadSession
from attachery_service.ports.responses import SessionListSize
from attachery_service.ports.sessions import SessionStore

# The largest exact number of sessions in a response.
MAX_TOTAL: Final = 10_000


class ListCommand(Struct, frozen=True, kw_only=True):
    """A validated ListUploadSessions request.

    `after`: the last session of the page before. `listing` identifies the list that a cursor
    belongs to. `include_total`: count the sessions of all pages.
    """

    tenant_id: str
    page_size: int
    wanted: SessionFilter
    after: PageCursor | None
    listing: Mapping[str, object]
    include_total: bool


class Page(Struct, frozen=True):
    """Sessions, and the token of the page after them; empty on the last page.

    `counted`: the sessions of all pages, up to one more than MAX_TOTAL; None if not requested.
    """

    sessions: Sequence[UploadSession]
    next_page_token: str
    counted: int | None


@dataclass(frozen=True, slots=True)
class ListUploadSessions:
    """Reads the table itself, so that a page shows every earlier change."""

    sessions: SessionStore
    response: SessionListSize

    async def __call__(self, command: ListCommand) -> Page:
        """Raises DatabaseUnavailable."""
        size = command.page_size
        # One more than requested shows whether there is another page.
        found = await self.sessions.page(command.tenant_id, command.wanted, command.after, size + 1)
        counted = await self._count(command)
        page = found[: min(size, self.response.max_items_that_fit(found))]
        if len(page) == len(found):
            return Page(page, "", counted)
        cursor = PageCursor(page[-1].create_time, page[-1].attachment_id)
        return Page(page, cursor.token(command.listing), counted)

    async def _count(self, command: ListCommand) -> int | None:
        if not command.include_total:
            return None
        return await self.sessions.count(command.tenant_id, command.wanted, MAX_TOTAL + 1)
