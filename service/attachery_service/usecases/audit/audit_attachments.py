"""AuditAttachments: an audit of a tenant, a part for each call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from attachery_service.aio.deadline import renew_budgets, time_left
from attachery_service.domain import inputs
from attachery_service.domain.audit import START, AuditPlace, Finding
from attachery_service.domain.errors import Violation
from attachery_service.usecases.audit.audit import PART_SIZE, Audit

DEFAULT_PAGE_SIZE = 1000
MAX_PAGE_SIZE = 10_000

# From so many on a call ends: an answer with this and a part's more can be received by everybody.
_MANY_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class AuditPage:
    """What was found, and in how much; `next_page_token` is empty after the last page."""

    findings: Sequence[Finding]
    sessions: int
    objects: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class AuditAttachments:
    """Ends a page early where time or the answer runs short."""

    audit: Audit

    async def __call__(self, tenant_id: str, page_size: int, page_token: str) -> AuditPage:
        """Raises InvalidRequest, DatabaseUnavailable, StorageUnavailable, StorageMisconfigured."""
        size, place = _read(tenant_id, page_size, page_token)
        rounds = math.ceil(size / PART_SIZE)
        enough_time = time_left(math.inf) / 2
        page = AuditPage([], 0, 0, "")
        async with aclosing(self.audit(tenant_id, place, size // rounds)) as parts:
            async for part in parts:
                page = AuditPage(
                    [*page.findings, *part.findings],
                    page.sessions + part.sessions,
                    page.objects + part.objects,
                    part.next_place.token(tenant_id) if part.next_place else "",
                )
                rounds -= 1
                renew_budgets()  # a part that is done is no reason to have less time for the next
                short = time_left(math.inf) < enough_time or len(page.findings) >= _MANY_FINDINGS
                if not rounds or short:
                    break
        return page


def _read(tenant_id: str, page_size: int, page_token: str) -> tuple[int, AuditPlace]:
    reader = inputs.Reader()
    reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, tenant_id)
    rule = inputs.page_size(DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    size = reader.take("page_size", "INVALID_PAGE_SIZE", rule, page_size)
    reader.done()
    place = AuditPlace.of(page_token, tenant_id) if page_token else START
    if place is not None:
        return size, place
    text = "must be the token of the part before, unchanged"
    raise inputs.invalid([Violation("page_token", "INVALID_PAGE_TOKEN", text)])
