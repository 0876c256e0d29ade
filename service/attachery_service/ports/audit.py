"""Reads and repairs of an audit in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from attachery_service.domain.audit import AuditedSession
from attachery_service.domain.quota import Usage


class AuditStore(Protocol):
    """Reads for audits, with one statement per call. All methods raise DatabaseUnavailable."""

    async def sessions(
        self, tenant_id: str, after: UUID | None, limit: int
    ) -> Sequence[AuditedSession]:
        """Reads the stored sessions after an id, ordered by id."""

    async def reread(
        self, tenant_id: str, attachment_ids: Collection[UUID]
    ) -> Mapping[UUID, AuditedSession]:
        """Reads the current state of those of the sessions that exist."""

    async def usage(self, tenant_id: str) -> tuple[Usage, Usage]:
        """Reads the tenant's counters and the sums over its sessions, in one snapshot."""


class AuditRepairs(Protocol):
    """Repairs of rows. All methods raise DatabaseUnavailable."""

    async def make_due(self, tenant_id: str, attachment_id: UUID) -> None:
        """Makes a session due for the sweep now."""

    async def recompute_hold(self, tenant_id: str, attachment_id: UUID) -> None:
        """Recomputes `held_until` from the hold rows."""

    async def recount_usage(self, tenant_id: str) -> None:
        """Recomputes a tenant's counters from its sessions, concurrently with reservations."""
