"""Attachments with the fields that their caller may see."""

from __future__ import annotations

from dataclasses import dataclass

from attachery.v1 import resources_pb2 as pb
from attachery_service.domain.identity import Principal, Scope
from attachery_service.domain.sessions import DeletedSession, ReadySession
from attachery_service.rpc.messages.sessions import write_attachment


@dataclass(frozen=True, slots=True)
class AttachmentView:
    """`bucket` is where all the bytes are, which only some callers are told."""

    bucket: str

    def message(
        self, session: ReadySession | DeletedSession, principal: Principal
    ) -> pb.Attachment:
        message = pb.Attachment()
        self.write(message, session, principal)
        return message

    def write(
        self,
        message: pb.Attachment,
        session: ReadySession | DeletedSession,
        principal: Principal,
    ) -> None:
        write_attachment(message, session)
        if isinstance(session, ReadySession) and sees_storage(principal):
            sealed, storage = session.sealed, message.storage
            storage.bucket, storage.key, storage.etag = self.bucket, sealed.key, sealed.etag


def sees_storage(principal: Principal) -> bool:
    """Whether a caller may see the place of attachments in object storage."""
    return Scope.ATTACHMENTS_STORAGE_READ in principal.scopes
