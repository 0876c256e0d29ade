"""AuditAttachments: audit a tenant, one part per call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from msgspec import Struct

from attachery_service.aio.deadline import renew_budgets, time_left
from attachery_service.domain.audit import AuditCursor, Finding
from attachery_service.usecases.audit.audit import PART_SIZE, Audit

# A call ends with this many findings: every client can receive them and those of one more part.
_MANY_FINDINGS = 1000


class AuditCommand(Struct, frozen=True):
    """A validated AuditAttachments request."""

    tenant_id: str
    page_size: int
    cursor: AuditCursor


class AuditPage(Struct, frozen=True):
    """Findings, and the numbers of items compared; `next_page_token` is empty on the last page."""

    findings: Sequence[Finding]
    sessions: int
    objects: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class AuditAttachments:
    """Ends a page early if the time or the size of the response runs short."""

    audit: Audit

    async def __call__(self, command: AuditCommand) -> AuditPage:
        """Raises DatabaseUnavailable, StorageUnavailable, StorageMisconfigured."""
        tenant_id, size = command.tenant_id, command.page_size
        rounds = math.ceil(size / PART_SIZE)
        enough_time = time_left(math.inf) / 2
        page = AuditPage([], 0, 0, "")
        async with aclosing(self.audit(tenant_id, command.cursor, size // rounds)) as parts:
            async for part in parts:
                page = AuditPage(
                    [*page.findings, *part.findings],
                    page.sessions + part.sessions,
                    page.objects + part.objects,
                    part.next_cursor.token(tenant_id) if part.next_cursor else "",
                )
                rounds -= 1
                renew_budgets()  # each part has a full budget
                short = time_left(math.inf) < enough_time or len(page.findings) >= _MANY_FINDINGS
                if not rounds or short:
                    break
        return page
