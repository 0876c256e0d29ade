"""An audit: a tenant's rows compared with its objects, in constant memory.

Sessions by id and objects by key have the same order, so one pass over both suffices.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from attachery_service.domain.audit import (
    START,
    AuditCursor,
    AuditedSession,
    Finding,
    ListedObject,
    usage_finding,
)
from attachery_service.ports.audit import AuditStore
from attachery_service.ports.objects import ObjectListing
from attachery_service.usecases.audit.comparison import Comparison

PART_SIZE = 1000

_PAGE_SIZE = 1000

_Item = AuditedSession | ListedObject


class AuditPart(Struct, frozen=True):
    """A range of sessions and objects. `next_cursor` None: it is the last part."""

    findings: Sequence[Finding]
    sessions: int
    objects: int
    next_cursor: AuditCursor | None


@dataclass(frozen=True, slots=True)
class Audit:
    """Compares a tenant's rows with its objects; read-only."""

    store: AuditStore
    listing: ObjectListing
    comparison: Comparison

    async def __call__(
        self, tenant_id: str, place: AuditCursor = START, size: int = PART_SIZE
    ) -> AsyncGenerator[AuditPart, None]:
        """Compares a tenant from a place on, in one or more parts of up to `size` items.

        The first part of an audit also compares the tenant's counters.

        Raises DatabaseUnavailable, StorageUnavailable, StorageMisconfigured.
        """
        findings = await self._of_usage(tenant_id) if place == START else []
        items: list[_Item] = []
        async for item in self._items(tenant_id, place):
            if len(items) == size:
                yield await self._part(tenant_id, findings, items, place)
                findings, items = [], []
            items.append(item)
            place = _past(place, item)
        yield await self._part(tenant_id, findings, items, None)

    async def _of_usage(self, tenant_id: str) -> list[Finding]:
        finding = usage_finding(*await self.store.usage(tenant_id))
        return [finding] if finding else []

    async def _part(
        self,
        tenant_id: str,
        findings: Sequence[Finding],
        items: Sequence[_Item],
        next_cursor: AuditCursor | None,
    ) -> AuditPart:
        sessions = [item for item in items if isinstance(item, AuditedSession)]
        listed = [item for item in items if isinstance(item, ListedObject)]
        of_rows = [finding for session in sessions for finding in session.findings()]
        of_objects = await self.comparison.compare(tenant_id, sessions, listed)
        return AuditPart(
            [*findings, *of_rows, *of_objects], len(sessions), len(listed), next_cursor
        )

    async def _items(self, tenant_id: str, place: AuditCursor) -> AsyncGenerator[_Item, None]:
        """Each session before its objects."""
        sessions = self._sessions(tenant_id, place.attachment_id)
        objects = self._objects(tenant_id, place.path)
        session, listed = await anext(sessions, None), await anext(objects, None)
        while session is not None or listed is not None:
            if session is not None and (listed is None or session.path <= listed.path):
                yield session
                session = await anext(sessions, None)
            elif listed is not None:
                yield listed
                listed = await anext(objects, None)

    async def _sessions(
        self, tenant_id: str, after: UUID | None
    ) -> AsyncGenerator[AuditedSession, None]:
        more = True
        while more:
            page = await self.store.sessions(tenant_id, after, _PAGE_SIZE)
            for session in page:
                yield session
                after = session.attachment_id
            more = len(page) == _PAGE_SIZE

    async def _objects(self, tenant_id: str, after: str) -> AsyncGenerator[ListedObject, None]:
        more = True
        while more:
            page = await self.listing.objects(tenant_id, after)
            for listed in page.objects:
                yield listed
                after = listed.path
            more = page.more


def _past(place: AuditCursor, item: _Item) -> AuditCursor:
    if isinstance(item, ListedObject):
        return replace(place, path=item.path)
    return replace(place, attachment_id=item.attachment_id)
