"""Callers and their rights."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from attachery_service.domain.errors import AttachmentNotFound, ScopeMissing, TenantDenied


class Scope(StrEnum):
    """A right, granted to a credential."""

    UPLOADS_CREATE = "uploads.create"
    UPLOADS_COMPLETE = "uploads.complete"
    UPLOADS_READ = "uploads.read"
    ATTACHMENTS_READ = "attachments.read"
    ATTACHMENTS_RESOLVE = "attachments.resolve"
    ATTACHMENTS_STORAGE_READ = "attachments.storage.read"
    ATTACHMENTS_DELETE = "attachments.delete"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `tenants` None means every tenant, `session` None every session.

    A principal that is bound to a session may call only methods about a single session.
    """

    name: str
    tenants: frozenset[str] | None
    scopes: frozenset[Scope]
    session: UUID | None = None

    def require_scope(self, scope: Scope, *, about_one_session: bool = False) -> None:
        """Raises ScopeMissing."""
        bound = self.session is not None
        if scope not in self.scopes or (bound and not about_one_session):
            raise ScopeMissing(scope=scope.value)

    def require_tenant(self, tenant_id: str) -> None:
        """Raises TenantDenied."""
        if self.tenants is not None and tenant_id not in self.tenants:
            raise TenantDenied

    def require_session(self, attachment_id: UUID) -> None:
        """Hides every session but its own. Raises AttachmentNotFound."""
        if self.session not in (None, attachment_id):
            raise AttachmentNotFound(attachmentId=attachment_id)


# The principal of the service's own actions.
SERVICE = Principal(name="attachery", tenants=None, scopes=ALL_SCOPES)
