"""Lookup of one session or attachment by its id."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from attachery_service.domain.errors import AttachmentNotFound
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.identity import SERVICE, Principal
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.sessions import DeletedSession, ReadySession, require_attachment
from attachery_service.ports.sessions import SessionStore


class AttachmentRef(Struct, frozen=True):
    """A validated id within its tenant."""

    tenant_id: str
    attachment_id: UUID


async def find(
    sessions: SessionStore,
    ref: AttachmentRef,
    request: RequestKey | None = None,
    principal: Principal = SERVICE,
) -> SessionLookup:
    """Finds a session; one that the `principal` does not see is like an unknown one.

    Raises AttachmentNotFound, RequestIdReused, DatabaseUnavailable.
    """
    found = await sessions.find(ref.tenant_id, ref.attachment_id, request)
    if found is None or not principal.sees(found.session):
        raise AttachmentNotFound(attachmentId=ref.attachment_id)
    if request is not None and found.replayed_outcome is not None:
        found.replayed_outcome.require_same_payload(request)
    return found


async def find_attachment(
    sessions: SessionStore, ref: AttachmentRef, principal: Principal
) -> ReadySession | DeletedSession:
    """Finds an attachment of the tenant, also one of a session that the `principal` does not see.

    Raises AttachmentNotFound, DatabaseUnavailable, and the error of a session that is not an
    attachment, if the principal sees it.
    """
    session = (await find(sessions, ref)).session
    if not isinstance(session, ReadySession | DeletedSession) and not principal.sees(session):
        raise AttachmentNotFound(attachmentId=ref.attachment_id)
    return require_attachment(session)
