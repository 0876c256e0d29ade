"""Comparison of sessions with objects that were not read at the same moment.

A difference is read a second time before it is a finding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain.audit import AuditedSession, Finding, ListedObject
from attachery_service.domain.checks import StoredObject
from attachery_service.ports.audit import AuditStore
from attachery_service.ports.objects import ObjectStore

_AT_A_TIME = 16

_Sessions = Mapping[UUID, AuditedSession]
_Objects = Mapping[str, ListedObject] | Mapping[str, StoredObject]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Finds the differences between a range of sessions and the objects listed for it."""

    store: AuditStore
    objects: ObjectStore

    async def compare(
        self, tenant_id: str, sessions: Sequence[AuditedSession], listed: Sequence[ListedObject]
    ) -> Sequence[Finding]:
        """Compares sessions with their objects, and objects with their sessions.

        Raises DatabaseUnavailable, StorageUnavailable, StorageMisconfigured.
        """
        by_id, by_key = {s.attachment_id: s for s in sessions}, {o.key: o for o in listed}
        damaged = [session for session in sessions if _damage(session, by_key)]
        strays = [one for one in listed if _is_stray(one, by_id)]
        if not damaged and not strays:
            return []
        # A regular deletion changes the database first, so object storage is read first.
        existing = await self._heads(s.expected_object.key for s in damaged if s.expected_object)
        ids = {one.attachment_id for one in strays if one.attachment_id}
        ids |= {session.attachment_id for session in damaged}
        reread = await self.store.reread(tenant_id, ids)
        damages = [
            _damage(reread[i], existing) for s in damaged if (i := s.attachment_id) in reread
        ]
        # A regular creation changes the database first, so object storage is read last.
        strays = [one for one in strays if _is_stray(one, reread)]
        still_existing = await self._heads(one.key for one in strays)
        return [
            *(damage for damage in damages if damage),
            *(one.orphaned() for one in strays if one.key in still_existing),
        ]

    async def _heads(self, keys: Iterable[str]) -> Mapping[str, StoredObject]:
        """Returns those of the objects that exist, by key."""
        wanted, found = list(keys), dict[str, StoredObject]()
        for start in range(0, len(wanted), _AT_A_TIME):
            heads = (self.objects.head(key) for key in wanted[start : start + _AT_A_TIME])
            for head in await asyncio.gather(*heads, return_exceptions=True):
                if isinstance(head, BaseException):
                    raise head
                if head is not None:
                    found[head.key] = head
        return found


def _damage(session: AuditedSession, objects: _Objects) -> Finding | None:
    if session.expected_object is None:
        return None
    found = objects.get(session.expected_object.key)
    return session.damage(found.etag, found.size) if found else session.damage(None, None)


def _is_stray(listed: ListedObject, sessions: _Sessions) -> bool:
    session = sessions.get(listed.attachment_id) if listed.attachment_id else None
    return session is None or not session.may_have(listed.key)
