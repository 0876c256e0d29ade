"""GetUploadSession: read a session in any state."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import UploadSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.lookup import AttachmentRef, find


@dataclass(frozen=True, slots=True)
class GetUploadSession:
    sessions: SessionStore

    async def __call__(self, principal: Principal, ref: AttachmentRef) -> UploadSession:
        """Raises AttachmentNotFound, DatabaseUnavailable."""
        return (await find(self.sessions, ref, principal=principal)).session
