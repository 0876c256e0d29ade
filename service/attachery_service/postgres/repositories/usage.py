"""The usage of tenants: the port `TenantUsage` on PostgreSQL, and its maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.quota import Usage
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import to_usage

# Keeps the statement short, because a tenant's Starts wait for it.
_RELEASED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class PostgresUsage:
    """A tenant's counters, spread over several rows. Every method raises DatabaseUnavailable."""

    database: Database

    async def of(self, tenant_id: str, purpose: str) -> Usage:
        row = await self.database.row(query("usage/find"), tenant_id=tenant_id, purpose=purpose)
        if row is None:
            raise LookupError("the statement returns one row, always")
        return to_usage(row)

    async def open(self, tenant_id: str) -> None:
        """Creates the counters unless they exist."""
        await self.database.row(query("usage/open"), tenant_id=tenant_id)

    async def open_purpose(self, tenant_id: str, purpose: str) -> None:
        """Creates the counters of a purpose with a limit, unless they exist."""
        await self.database.row(query("usage/open_purpose"), tenant_id=tenant_id, purpose=purpose)

    async def release_due(self, tenant_id: str, limit: int = _RELEASED_AT_ONCE) -> int:
        """Releases what sessions with expired targets have reserved. Returns their number."""
        row = await self.database.row(query("usage/release_due"), tenant_id=tenant_id, limit=limit)
        return row["released"] if row else 0
