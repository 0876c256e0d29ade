"""DeleteAttachment: delete the bytes now, keep the metadata."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import DeletedSession, ReadySession, require_attachment
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.uploads.lookup import AttachmentRef, find
from attachery_service.usecases.uploads.object_reaper import ObjectReaper

METHOD = "DeleteAttachment"


class DeleteCommand(Struct, frozen=True):
    """A validated DeleteAttachment request."""

    ref: AttachmentRef
    force: bool
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class DeleteAttachment:
    """Deleting a DELETED attachment changes nothing and succeeds."""

    sessions: SessionStore
    reaper: ObjectReaper
    background: BackgroundTasks

    async def __call__(
        self, principal: Principal, command: DeleteCommand
    ) -> ReadySession | DeletedSession:
        """Deletes the bytes, and keeps the row.

        Raises AttachmentNotFound, RequestIdReused, AttachmentHeld, UploadNotReady and the errors of
        closed sessions, DatabaseUnavailable.
        """
        return await self.background.run_to_completion(self._delete(command, principal.name))

    async def _delete(self, command: DeleteCommand, actor: str) -> ReadySession | DeletedSession:
        ref = command.ref
        deleted = await self.sessions.delete(
            ref.tenant_id, ref.attachment_id, command.request, actor, force=command.force
        )
        if deleted is None:
            return await self._resolve_lost_race(command)
        attachment = require_attachment(deleted)
        # A copied session's uploaded object may still exist, or exist again.
        for key in {attachment.upload_key, attachment.sealed.key}:
            self.reaper.delete_later(key)
        return attachment

    async def _resolve_lost_race(self, command: DeleteCommand) -> ReadySession | DeletedSession:
        """Answers from the stored session, which another call has changed first."""
        found = await find(self.sessions, command.ref, command.request)
        session = require_attachment(found.session)
        if isinstance(session, ReadySession):
            if not command.force:
                session.require_not_held()
            raise DatabaseUnavailable  # the obstacle is gone already, so a retry succeeds
        return session
