"""What tenants use: the port `TenantUsage` on Postgres, and how it is kept."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.quota import Usage
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import to_usage

# So many at once that a statement stays short, and a tenant's Starts do not wait long for it.
_RELEASED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class PostgresUsage:
    """Counters of a tenant in several rows. Every method raises DatabaseUnavailable."""

    database: Database

    async def of(self, tenant_id: str) -> Usage:
        row = await self.database.row(query("find_usage"), tenant_id)
        if row is None:
            raise LookupError("the statement answers one row, always")
        return to_usage(row)

    async def open(self, tenant_id: str) -> None:
        """Makes the counters, unless they are there."""
        await self.database.row(query("open_usage"), tenant_id)

    async def release_due(self, tenant_id: str, limit: int = _RELEASED_AT_ONCE) -> int:
        """Gives back what sessions had booked whose targets are dead; how many there were."""
        row = await self.database.row(query("release_due"), tenant_id, limit)
        return row["released"] if row else 0
