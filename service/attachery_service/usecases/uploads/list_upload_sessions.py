"""ListUploadSessions: a tenant's sessions, the newest first, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from attachery_service.domain import inputs
from attachery_service.domain.pages import Place
from attachery_service.domain.sessions import SessionFilter, SessionState, UploadSession
from attachery_service.ports.sessions import SessionStore

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """The request as it came; empty or None where nothing restricts."""

    tenant_id: str
    page_size: int
    page_token: str
    states: Sequence[str]
    purpose: str
    create_time_from: datetime | None
    create_time_before: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions, and the token of the page after them; empty if there is none."""

    sessions: Sequence[UploadSession]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ListUploadSessions:
    """Reads the table itself: what was changed before is seen.

    `fitting` says how many of some sessions, from the first, one answer can tell of: at least one.
    """

    sessions: SessionStore
    fitting: Callable[[Sequence[UploadSession]], int]

    async def __call__(self, request: ListRequest) -> Page:
        """Raises InvalidRequest, DatabaseUnavailable."""
        size, wanted, place, listing = _read(request)
        # One more than asked for tells whether there is another page.
        found = await self.sessions.page(request.tenant_id, wanted, place, size + 1)
        page = found[: min(size, self.fitting(found))]
        if len(page) == len(found):
            return Page(page, "")
        last = Place(page[-1].create_time, page[-1].attachment_id)
        return Page(page, last.token(listing))


def _read(request: ListRequest) -> tuple[int, SessionFilter, Place | None, dict[str, object]]:
    reader = inputs.Reader()
    reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, request.tenant_id)
    page_size = inputs.page_size(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    size = reader.take("page_size", "INVALID_PAGE_SIZE", page_size, request.page_size)
    states = reader.take("filter.states", "INVALID_FILTER", _states, request.states)
    reader.done()
    wanted = SessionFilter(
        states=states,
        purpose=request.purpose or None,
        create_time_from=request.create_time_from,
        create_time_before=request.create_time_before,
    )
    listing: dict[str, object] = {"tenant_id": request.tenant_id, "filter": repr(wanted)}
    place = Place.of(request.page_token, listing) if request.page_token else None
    if request.page_token and place is None:
        reader.refuse(
            "page_token", "INVALID_PAGE_TOKEN", "must be the token of the page before, unchanged"
        )
        reader.done()
    return size, wanted, place, listing


def _states(values: Sequence[str]) -> tuple[SessionState, ...]:
    known = {state.value: state for state in SessionState}
    if not all(value in known for value in values):
        raise inputs.Broken("must be states this version knows")
    return tuple(sorted({known[value] for value in values}))
