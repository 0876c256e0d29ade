"""GetAttachment: the metadata of an attachment, which outlives its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import DeletedSession, ReadySession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.lookup import AttachmentRef, find_attachment


@dataclass(frozen=True, slots=True)
class GetAttachment:
    sessions: SessionStore

    async def __call__(
        self, principal: Principal, ref: AttachmentRef
    ) -> ReadySession | DeletedSession:
        """Returns a READY or DELETED attachment.

        Raises AttachmentNotFound, DatabaseUnavailable, and the error of a session that is not an
        attachment.
        """
        return await find_attachment(self.sessions, ref, principal)
