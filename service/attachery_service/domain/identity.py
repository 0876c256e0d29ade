"""Callers and their rights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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
    ATTACHMENTS_UPDATE = "attachments.update"
    ATTACHMENTS_STORAGE_READ = "attachments.storage.read"
    ATTACHMENTS_DELETE = "attachments.delete"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `tenants` None means every tenant, `session` None every session.

    A principal that is bound to a session may call only methods about a single session.
    `expire_time`: of its credential; None if it has none.
    """

    name: str
    tenants: frozenset[str] | None
    scopes: frozenset[Scope]
    session: UUID | None = None
    expire_time: datetime | None = None

    def require_scope(self, scope: Scope, *, about_one_session: bool = False) -> None:
        """Raises ScopeMissing."""
        bound = self.session is not None
        if scope not in self.scopes or (bound and not about_one_session):
            raise ScopeMissing(scope=scope.value)

    def tenant_of(self, requested: str) -> str:
        """Returns the requested tenant, or the principal's only one if none is requested.

        Returns an empty text, which no request may have, if none is requested and the principal has
        several. Raises TenantDenied.
        """
        if self.tenants is None or requested in self.tenants:
            return requested
        if requested or not self.tenants:
            raise TenantDenied
        return next(iter(self.tenants)) if len(self.tenants) == 1 else ""

    def require_session(self, attachment_id: UUID) -> None:
        """Hides every session but its own. Raises AttachmentNotFound."""
        if self.session not in (None, attachment_id):
            raise AttachmentNotFound(attachmentId=attachment_id)


# The principal of the service's own actions.
SERVICE = Principal(name="attachery", tenants=None, scopes=ALL_SCOPES)
