"""Attachments as their caller may see them."""

from __future__ import annotations

from dataclasses import dataclass

from attachery.v1 import resources_pb2 as pb
from attachery_service.domain.identity import Scope
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.wire.call import current_principal
from attachery_service.wire.convert import attachment_message


@dataclass(frozen=True, slots=True)
class AttachmentView:
    """`bucket` is where all the bytes are, which only some callers are told."""

    bucket: str

    def __call__(self, session: UploadSession) -> pb.Attachment:
        message = attachment_message(session)
        if (
            session.state is SessionState.READY
            and Scope.ATTACHMENTS_STORAGE_READ in current_principal().scopes
        ):
            sealed = session.require_bytes()
            storage = pb.StorageRef(bucket=self.bucket, key=sealed.key, etag=sealed.etag)
            message.storage.CopyFrom(storage)
        return message
