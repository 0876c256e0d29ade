"""Usage of tenants in the database."""

from __future__ import annotations

from typing import Protocol

from attachery_service.domain.quota import Usage


class TenantUsage(Protocol):
    """Usage counters of tenants. Raises DatabaseUnavailable."""

    async def of(self, tenant_id: str, purpose: str) -> Usage:
        """Reads the exact usage of a tenant and a purpose, all zero for an unknown tenant."""
