"""CompleteUploadSession: verify what arrived, seal it, make it an attachment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attachery_service.aio.background_tasks import Background
from attachery_service.domain import inputs
from attachery_service.domain.checksums import Algorithm
from attachery_service.domain.errors import (
    AttacheryError,
    DatabaseUnavailable,
    ObjectChanging,
    ObjectNotUploaded,
    VerificationFailed,
)
from attachery_service.domain.idempotency import RequestKey, request_key
from attachery_service.domain.identity import SERVICE, Principal
from attachery_service.domain.sessions import UploadSession
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.uploads.checks import Verified
from attachery_service.usecases.uploads.lookup import AttachmentRef, find, read_ref
from attachery_service.usecases.uploads.upload_verifier import (
    Completed,
    Demands,
    Intake,
    claim_of,
    completion_of,
    recorded,
    rejection_of,
)

METHOD = "CompleteUploadSession"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteRequest:
    """The request as it came: nothing validated, empty text for what was not given."""

    tenant_id: str
    attachment_id: str
    request_id: str
    checksums: Mapping[Algorithm, str]
    size: int | None
    validate_only: bool


@dataclass(frozen=True, slots=True)
class _Command:
    ref: AttachmentRef
    principal: Principal
    demands: Demands
    request: RequestKey | None

    def may_claim(self, session: UploadSession) -> bool:
        """Whether this is the uploader's Complete of what the service has completed."""
        return session.can_be_claimed and self.principal is not SERVICE


@dataclass(frozen=True, slots=True)
class CompleteUploadSession:
    """Holds no lock and no transaction while it waits for the store."""

    sessions: SessionStore
    intake: Intake
    background: Background

    async def __call__(self, principal: Principal, request: CompleteRequest) -> Completed:
        """Raises InvalidRequest, AttachmentNotFound, RequestIdReused, FailedPrecondition and its
        kinds, ObjectChanging, Unavailable, StorageMisconfigured.
        """
        command = _read(principal, request)
        principal.require_session(command.ref.attachment_id)
        found = await find(self.sessions, command.ref, command.request)
        session = found.session
        if found.replayed_outcome is not None:
            return recorded(found, found.replayed_outcome)
        if command.may_claim(session):
            return await self._claim(command, session, validate_only=request.validate_only)
        session.require_pending()
        if request.validate_only:
            return Completed(session, await self.intake.dry_run(session, command.demands))
        try:
            verified = await self.intake(session, command.demands)
        except (ObjectNotUploaded, ObjectChanging) as error:
            # Another call may have sealed, or given up, the object under our hands.
            return await self._answer_what_is_there(command, error)
        # The caller's cancellation or deadline cannot lose this outcome.
        completed = await self.background.finish(self._end(command, session, verified))
        if completed is None:
            return await self._answer_what_is_there(command, DatabaseUnavailable())
        return completed

    async def _end(
        self, command: _Command, session: UploadSession, verified: Verified
    ) -> Completed | None:
        """Store the outcome; None if another call has changed the session first.

        Waits for the database only. Raises VerificationFailed, DatabaseUnavailable.
        """
        if verified.error is not None:
            await self._make_failed(command, session, verified, verified.error)
            return None
        return await self._make_ready(command, session, verified)

    async def _make_ready(
        self, command: _Command, session: UploadSession, verified: Verified
    ) -> Completed | None:
        completion = completion_of(verified, is_claimable=command.principal is SERVICE)
        actor = command.principal.name
        ready = await self.sessions.complete(session, completion, command.request, actor)
        if ready is None:
            self.intake.drop_copy(session, verified.found.key)
            return None
        self.intake.drop_source(session)
        return Completed(ready, verified.checks)

    async def _make_failed(
        self,
        command: _Command,
        session: UploadSession,
        verified: Verified,
        error: VerificationFailed,
    ) -> None:
        self.intake.drop_copy(session, verified.found.key)
        if not self.intake.is_final(session):
            raise error
        rejection, actor = rejection_of(verified, error), command.principal.name
        failed = await self.sessions.fail(session, rejection, command.request, actor)
        if failed is None:
            return
        self.intake.drop_upload(session)
        raise error

    async def _claim(
        self, command: _Command, session: UploadSession, *, validate_only: bool = False
    ) -> Completed:
        """Answer the uploader's Complete of a session that the service has made READY.

        The first one is verified against the stored facts, and its outcome is stored. A mismatch
        leaves the session READY; it counts as the first one if wrong bytes are final.
        """
        verified = await self.intake.compare(session, command.demands)
        if validate_only:
            return Completed(session, verified.checks)
        error = verified.error
        if error is not None and not self.intake.is_final(session):
            raise error
        return await self.background.finish(self._store_claim(command, session, verified))

    async def _store_claim(
        self, command: _Command, session: UploadSession, verified: Verified
    ) -> Completed:
        claim, actor = claim_of(verified), command.principal.name
        claimed = await self.sessions.claim(session, claim, command.request, actor)
        if claimed is None:
            found = await find(self.sessions, command.ref, command.request)
            if found.replayed_outcome is not None:
                return recorded(found, found.replayed_outcome)
            found.session.require_pending()
            raise DatabaseUnavailable
        if claim.mismatch is not None:
            raise claim.mismatch
        return Completed(claimed, verified.checks)

    async def _answer_what_is_there(
        self, command: _Command, if_pending: AttacheryError
    ) -> Completed:
        """What a call answers that another one has got ahead of, or `if_pending` if none has.

        A change that was refused for a reason that is gone can be tried again.
        """
        found = await find(self.sessions, command.ref, command.request)
        if found.replayed_outcome is not None:
            return recorded(found, found.replayed_outcome)
        if command.may_claim(found.session):
            return await self._claim(command, found.session)
        found.session.require_pending()
        raise if_pending


def _read(principal: Principal, request: CompleteRequest) -> _Command:
    reader = inputs.Reader()
    ref = read_ref(reader, request.tenant_id, request.attachment_id)
    request_id = reader.take(
        "request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id
    )
    checksums = inputs.checksums(reader, "checksums", request.checksums)
    size = inputs.size(reader, request.size, inputs.MAX_SIZE, min_size=0)
    reader.done()
    payload = {"attachment_id": ref.attachment_id, "checksums": checksums.known(), "size": size}
    key = None if request.validate_only else request_key(METHOD, request_id, payload)
    return _Command(ref, principal, Demands(checksums, size), key)
