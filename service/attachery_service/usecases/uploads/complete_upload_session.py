"""CompleteUploadSession: verify the upload, seal it, make it an attachment."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from attachery_service.domain.errors import (
    AttacheryError,
    DatabaseUnavailable,
    ObjectChanging,
    ObjectNotUploaded,
    VerificationFailed,
)
from attachery_service.domain.idempotency import RequestKey
from attachery_service.domain.identity import SERVICE, Principal
from attachery_service.domain.sessions import (
    PendingSession,
    ReadySession,
    UploadSession,
    claimable,
    require_pending,
)
from attachery_service.ports.sessions import SessionStore
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.uploads.checks import Verified
from attachery_service.usecases.uploads.lookup import AttachmentRef, find
from attachery_service.usecases.uploads.upload_verifier import (
    Completed,
    ExtraConstraints,
    UploadVerifier,
    claim_of,
    completion_of,
    rejection_of,
    replay,
)

METHOD = "CompleteUploadSession"


class CompleteCommand(Struct, frozen=True):
    """A validated CompleteUploadSession request."""

    ref: AttachmentRef
    extras: ExtraConstraints
    request: RequestKey | None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class CompleteUploadSession:
    """Holds no lock and no transaction while it waits for object storage."""

    sessions: SessionStore
    verifier: UploadVerifier
    background: BackgroundTasks

    async def __call__(self, principal: Principal, command: CompleteCommand) -> Completed:
        """Completes a session: PENDING → READY or FAILED.

        Raises InvalidRequest, AttachmentNotFound, RequestIdReused, FailedPrecondition and its
        kinds, ObjectChanging, Unavailable, StorageMisconfigured.
        """
        found = await find(self.sessions, command.ref, command.request, principal)
        if found.replayed_outcome is not None:
            return replay(found, found.replayed_outcome)
        if (ready := _claimable_by(principal, found.session)) is not None:
            return await self._claim(principal, command, ready)
        session = require_pending(found.session)
        if command.validate_only:
            return Completed(session, await self.verifier.dry_run(session, command.extras))
        try:
            verified = await self.verifier.verify(session, command.extras)
        except (ObjectNotUploaded, ObjectChanging) as error:
            # A concurrent call may have completed or cancelled this session.
            return await self._resolve_lost_race(principal, command, error)
        # The caller's cancellation or deadline cannot lose this outcome.
        completed = await self.background.run_to_completion(
            self._store(principal, command, session, verified)
        )
        if completed is None:
            return await self._resolve_lost_race(principal, command, DatabaseUnavailable())
        return Completed(completed, verified.checks)

    async def _store(
        self,
        principal: Principal,
        command: CompleteCommand,
        session: PendingSession,
        verified: Verified,
    ) -> UploadSession | None:
        """Stores the outcome. Returns None if another call has changed the session first.

        Waits for the database only. Raises VerificationFailed, DatabaseUnavailable.
        """
        if verified.error is not None:
            await self._make_failed(principal, command, session, verified, verified.error)
            return None
        completion = completion_of(verified, is_claimable=principal is SERVICE)
        ready = await self.sessions.complete(session, completion, command.request, principal.actor)
        if ready is None:
            self.verifier.discard_copy(session, verified.found.key)
        else:
            self.verifier.discard_source(ready)
        return ready

    async def _make_failed(
        self,
        principal: Principal,
        command: CompleteCommand,
        session: PendingSession,
        verified: Verified,
        error: VerificationFailed,
    ) -> None:
        self.verifier.discard_copy(session, verified.found.key)
        if not self.verifier.is_final(session, error):
            raise error
        rejection = rejection_of(verified, error)
        if await self.sessions.fail(session, rejection, command.request, principal.actor) is None:
            return
        self.verifier.discard_upload(session)
        raise error

    async def _claim(
        self, principal: Principal, command: CompleteCommand, session: ReadySession
    ) -> Completed:
        """Answers the uploader's Complete of a session that the service has made READY.

        The first one is verified against the stored facts, and its outcome is stored. A mismatch
        leaves the session READY; it counts as the first one if wrong bytes are final.
        """
        verified = await self.verifier.compare(session, command.extras)
        if command.validate_only:
            return Completed(session, verified.checks)
        error = verified.error
        if error is not None and not self.verifier.is_final(session, error):
            raise error
        return await self.background.run_to_completion(
            self._store_claim(principal, command, session, verified)
        )

    async def _store_claim(
        self,
        principal: Principal,
        command: CompleteCommand,
        session: ReadySession,
        verified: Verified,
    ) -> Completed:
        claim = claim_of(verified)
        claimed = await self.sessions.claim(session, claim, command.request, principal.actor)
        if claimed is None:
            found = await find(self.sessions, command.ref, command.request, principal)
            if found.replayed_outcome is not None:
                return replay(found, found.replayed_outcome)
            require_pending(found.session)
            raise DatabaseUnavailable
        if claim.mismatch is not None:
            raise claim.mismatch
        return Completed(claimed, verified.checks)

    async def _resolve_lost_race(
        self, principal: Principal, command: CompleteCommand, if_pending: AttacheryError
    ) -> Completed:
        """Answers from the stored session, which another call has changed first.

        Raises `if_pending` if it is still PENDING: the obstacle is gone, so a retry may succeed.
        """
        found = await find(self.sessions, command.ref, command.request, principal)
        if found.replayed_outcome is not None:
            return replay(found, found.replayed_outcome)
        if (ready := _claimable_by(principal, found.session)) is not None:
            return await self._claim(principal, command, ready)
        require_pending(found.session)
        raise if_pending


def _claimable_by(principal: Principal, session: UploadSession) -> ReadySession | None:
    """Returns a session that the service has completed, and the uploader completes now."""
    return None if principal is SERVICE else claimable(session)
