"""GetAttachment: the metadata of an attachment, which outlives its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.sessions import UploadSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.lookup import find_session


@dataclass(frozen=True, slots=True)
class GetAttachment:
    sessions: SessionStore

    async def __call__(self, tenant_id: str, attachment_id: str) -> UploadSession:
        """Raises InvalidRequest, AttachmentNotFound, DatabaseUnavailable, and the error of a
        session that is not, or will never be, an attachment.
        """
        session = await find_session(self.sessions, tenant_id, attachment_id)
        session.require_attachment()
        return session
