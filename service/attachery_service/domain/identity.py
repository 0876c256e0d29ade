"""Callers and their rights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attachery_service.domain.errors import (
    AttachmentNotFound,
    PurposeDenied,
    ScopeMissing,
    TenantDenied,
)
from attachery_service.domain.policy import DEFAULT_PURPOSE
from attachery_service.domain.sessions import Session


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
    CONNECTIONS_CREATE = "connections.create"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
UPLOAD_SCOPES = frozenset({Scope.UPLOADS_COMPLETE, Scope.UPLOADS_CREATE, Scope.UPLOADS_READ})


@dataclass(frozen=True, slots=True)
class Connection:
    """A participant of a tenant, identified by a connection token.

    It may start sessions of `purposes`, and act on those that its `subject` has started.
    """

    subject: str
    purposes: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller. `tenants` None means every tenant, `session` None every session.

    A principal that is bound to a session may call only methods about a single session, and one
    with a `connection` only methods that take connection tokens. `expire_time`: of its credential;
    None if it has none.
    """

    name: str
    tenants: frozenset[str] | None
    scopes: frozenset[Scope]
    session: UUID | None = None
    connection: Connection | None = None
    expire_time: datetime | None = None

    @property
    def subject(self) -> str | None:
        return None if self.connection is None else self.connection.subject

    @property
    def actor(self) -> str:
        """The name in the history of sessions."""
        return self.name if self.connection is None else f"{self.name}/{self.connection.subject}"

    def require_scope(
        self, scope: Scope, *, about_one_session: bool = False, for_connections: bool = False
    ) -> None:
        """Raises ScopeMissing. The options tell which restricted principals the method accepts."""
        wrong_session = self.session is not None and not about_one_session
        wrong_connection = self.connection is not None and not for_connections
        if scope not in self.scopes or wrong_session or wrong_connection:
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

    def require_purpose(self, purpose: str) -> None:
        """Raises PurposeDenied, also for a purpose that does not exist. Empty: the default one."""
        connection = self.connection
        if connection is not None and (purpose or DEFAULT_PURPOSE) not in connection.purposes:
            raise PurposeDenied

    def require_session(self, attachment_id: UUID) -> None:
        """Hides every session but its own. Raises AttachmentNotFound."""
        if self.session not in (None, attachment_id):
            raise AttachmentNotFound(attachmentId=attachment_id)

    def sees(self, session: Session) -> bool:
        """Whether it may act on a session of its tenants: restricted principals on their own."""
        if self.session not in (None, session.attachment_id):
            return False
        return self.connection is None or self.connection.subject == session.subject


# The principal of the service's own actions.
SERVICE = Principal(name="attachery", tenants=None, scopes=ALL_SCOPES)
