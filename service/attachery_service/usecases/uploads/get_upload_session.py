"""GetUploadSession: a session in any state."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain import inputs
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import UploadSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.lookup import find, read_ref


@dataclass(frozen=True, slots=True)
class GetUploadSession:
    sessions: SessionStore

    async def __call__(
        self, principal: Principal, tenant_id: str, attachment_id: str
    ) -> UploadSession:
        """Raises InvalidRequest, AttachmentNotFound, DatabaseUnavailable."""
        reader = inputs.Reader()
        ref = read_ref(reader, tenant_id, attachment_id)
        reader.done()
        principal.require_session(ref.attachment_id)
        return (await find(self.sessions, ref)).session
