"""DeleteAttachment: the bytes go now, the metadata stays."""

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

METHOD = "DeleteAttachment"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRequest:
    """The request as it came: nothing validated, empty text for what was not given."""

    tenant_id: str
    attachment_id: str
    request_id: str
    force: bool


@dataclass(frozen=True, slots=True)
class _Command:
    ref: AttachmentRef
    force: bool
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class DeleteAttachment:
    """Deleting what is DELETED changes nothing and succeeds."""

    sessions: SessionStore
    disposal: Disposal
    background: Background

    async def __call__(self, principal: Principal, request: DeleteRequest) -> UploadSession:
        """Raises InvalidRequest, AttachmentNotFound, RequestIdReused, AttachmentHeld,
        UploadNotReady and the errors of dead ends, DatabaseUnavailable.
        """
        command = _read(request)
        return await self.background.finish(self._delete(command, principal.name))

    async def _delete(self, command: _Command, actor: str) -> UploadSession:
        ref = command.ref
        deleted = await self.sessions.delete(
            ref.tenant_id, ref.attachment_id, command.request, actor, force=command.force
        )
        if deleted is None:
            return await self._answer_what_is_there(command)
        # Of a copied session, the uploaded object may still be there, or there again.
        for key in {deleted.upload_key, deleted.require_attachment().key}:
            self.disposal.later(key)
        return deleted

    async def _answer_what_is_there(self, command: _Command) -> UploadSession:
        session = (await find(self.sessions, command.ref, command.request)).session
        session.require_attachment()
        if session.state is not SessionState.DELETED:
            if not command.force:
                session.require_not_held()
            raise DatabaseUnavailable  # the obstacle is gone already: the next try will succeed
        return session


def _read(request: DeleteRequest) -> _Command:
    reader = inputs.Reader()
    ref = read_ref(reader, request.tenant_id, request.attachment_id)
    request_id = reader.take(
        "request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id
    )
    reader.done()
    payload = {"attachment_id": ref.attachment_id, "force": request.force}
    return _Command(ref, request.force, request_key(METHOD, request_id, payload))
