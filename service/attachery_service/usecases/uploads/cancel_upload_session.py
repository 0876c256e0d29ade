"""CancelUploadSession: end a PENDING session without an attachment."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import CancelledSession, UploadSession, require_pending
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.uploads.lookup import AttachmentRef, find
from attachery_service.usecases.uploads.object_reaper import ObjectReaper

METHOD = "CancelUploadSession"


class CancelCommand(Struct, frozen=True):
    """A validated CancelUploadSession request."""

    ref: AttachmentRef
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class CancelUploadSession:
    """Cancelling a CANCELLED session changes nothing and succeeds."""

    sessions: SessionStore
    reaper: ObjectReaper
    background: BackgroundTasks

    async def __call__(self, principal: Principal, command: CancelCommand) -> UploadSession:
        """Cancels a PENDING session.

        Raises AttachmentNotFound, RequestIdReused, DatabaseUnavailable, and the error of any state
        but PENDING and CANCELLED.
        """
        principal.require_session(command.ref.attachment_id)
        return await self.background.run_to_completion(self._cancel(principal, command))

    async def _cancel(self, principal: Principal, command: CancelCommand) -> UploadSession:
        ref = command.ref
        cancelled = await self.sessions.cancel(
            ref.tenant_id,
            ref.attachment_id,
            command.request,
            principal.actor,
            subject=principal.subject,
        )
        if cancelled is None:
            return await self._resolve_lost_race(principal, command)
        self.reaper.delete_later(cancelled.upload_key)
        return cancelled

    async def _resolve_lost_race(
        self, principal: Principal, command: CancelCommand
    ) -> UploadSession:
        """Answers from the stored session, which another call has changed first."""
        found = await find(self.sessions, command.ref, command.request, principal)
        session = found.session
        if isinstance(session, CancelledSession):
            return session
        require_pending(session)
        raise DatabaseUnavailable  # the obstacle is gone already, so a retry succeeds
