"""Reading one session or attachment by its id."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from attachery_service.domain import inputs
from attachery_service.domain.errors import AttachmentNotFound
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.sessions import UploadSession
from attachery_service.ports.sessions import SessionStore


@dataclass(frozen=True, slots=True)
class AttachmentRef:
    """A validated id within its tenant."""

    tenant_id: str
    attachment_id: UUID


def read_ref(reader: inputs.Reader, tenant_id: str, attachment_id: str) -> AttachmentRef:
    return AttachmentRef(
        reader.take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, tenant_id),
        reader.take("attachment_id", "INVALID_ATTACHMENT_ID", inputs.attachment_id, attachment_id),
    )


async def find(
    sessions: SessionStore, ref: AttachmentRef, request: RequestKey | None = None
) -> SessionLookup:
    """Raises AttachmentNotFound, RequestIdReused, DatabaseUnavailable."""
    found = await sessions.find(ref.tenant_id, ref.attachment_id, request)
    if found is None:
        raise AttachmentNotFound(attachmentId=ref.attachment_id)
    if request is not None and found.replayed_outcome is not None:
        found.replayed_outcome.require_same_payload(request)
    return found


async def find_session(sessions: SessionStore, tenant_id: str, attachment_id: str) -> UploadSession:
    """Raises InvalidRequest, AttachmentNotFound, DatabaseUnavailable."""
    reader = inputs.Reader()
    ref = read_ref(reader, tenant_id, attachment_id)
    reader.done()
    return (await find(sessions, ref)).session
