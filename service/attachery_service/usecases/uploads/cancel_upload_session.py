"""CancelUploadSession: give a PENDING session up."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.aio.background_tasks import Background
from attachery_service.domain import inputs
from attachery_service.domain.errors import DatabaseUnavailable
from attachery_service.domain.idempotency import RequestKey, request_key
from attachery_service.domain.identity import Principal
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.lookup import AttachmentRef, find, read_ref
from attachery_service.usecases.uploads.object_reaper import Disposal

METHOD = "CancelUploadSession"


@dataclass(frozen=True, slots=True)
class CancelUploadSession:
    """Cancelling what is CANCELLED changes nothing and succeeds."""

    sessions: SessionStore
    disposal: Disposal
    background: Background

    async def __call__(
        self, principal: Principal, tenant_id: str, attachment_id: str, request_id: str
    ) -> UploadSession:
        """Raises InvalidRequest, AttachmentNotFound, RequestIdReused, DatabaseUnavailable, and the
        error of any state but PENDING and CANCELLED.
        """
        reader = inputs.Reader()
        ref = read_ref(reader, tenant_id, attachment_id)
        given = reader.take("request_id", "INVALID_REQUEST_ID", inputs.request_id, request_id)
        reader.done()
        principal.require_session(ref.attachment_id)
        request = request_key(METHOD, given, {"attachment_id": ref.attachment_id})
        return await self.background.finish(self._cancel(ref, request, principal.name))

    async def _cancel(
        self, ref: AttachmentRef, request: RequestKey | None, actor: str
    ) -> UploadSession:
        cancelled = await self.sessions.cancel(ref.tenant_id, ref.attachment_id, request, actor)
        if cancelled is None:
            return await self._answer_what_is_there(ref, request)
        self.disposal.later(cancelled.upload_key)
        return cancelled

    async def _answer_what_is_there(
        self, ref: AttachmentRef, request: RequestKey | None
    ) -> UploadSession:
        found = await find(self.sessions, ref, request)
        if found.session.state is not SessionState.CANCELLED:
            found.session.require_pending()
            raise DatabaseUnavailable  # the obstacle is gone already: the next try will succeed
        return found.session
