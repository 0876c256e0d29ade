"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from attachery_service.domain.errors import ScopeMissing, TenantDenied


class Scope(StrEnum):
    """A right, granted to a credential."""

    UPLOADS_CREATE = "uploads.create"
    UPLOADS_COMPLETE = "uploads.complete"
    UPLOADS_READ = "uploads.read"
    ATTACHMENTS_READ = "attachments.read"
    ATTACHMENTS_RESOLVE = "attachments.resolve"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `tenants` None means every tenant."""

    name: str
    tenants: frozenset[str] | None
    scopes: frozenset[Scope]

    def require_scope(self, scope: Scope) -> None:
        """Raises ScopeMissing."""
        if scope not in self.scopes:
            raise ScopeMissing(scope=scope.value)

    def require_tenant(self, tenant_id: str) -> None:
        """Raises TenantDenied."""
        if self.tenants is not None and tenant_id not in self.tenants:
            raise TenantDenied
