"""CompleteUploadSession: verify what arrived, seal it, make it an attachment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from attachery_service.background import Background
from attachery_service.domain import inputs
from attachery_service.domain.checks import (
    Check,
    CheckKind,
    CheckMethod,
    CheckOutcome,
    Expectation,
    as_error,
)
from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import (
    AttacheryError,
    AttachmentNotFound,
    DatabaseUnavailable,
    ObjectChanging,
    ObjectNotUploaded,
    VerificationFailed,
    error_of_reason,
)
from attachery_service.domain.idempotency import Outcome, RequestKey, request_key
from attachery_service.domain.identity import Principal
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import Failure, Seal, SealedObject, UploadSession
from attachery_service.ports import Completion, Found, PreconditionChanged, SessionStore
from attachery_service.usecases.disposal import Disposal
from attachery_service.usecases.sealing import Sealing
from attachery_service.usecases.verification import Verification, Verified

METHOD = "CompleteUploadSession"

# An object that changes under verification is verified anew, twice at most.
ATTEMPTS = 3


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
class Completed:
    """The session and every check that was made."""

    session: UploadSession
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Command:
    tenant_id: str
    attachment_id: UUID
    checksums: Checksums
    size: int | None
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class CompleteUploadSession:
    """Holds no lock and no transaction while it waits for the store."""

    sessions: SessionStore
    policies: Mapping[str, Policy]
    verification: Verification
    sealing: Sealing
    disposal: Disposal
    background: Background

    async def __call__(self, principal: Principal, request: CompleteRequest) -> Completed:
        """Raises InvalidRequest, AttachmentNotFound, RequestIdReused, FailedPrecondition and its
        kinds, ObjectChanging, Unavailable, StorageMisconfigured.
        """
        command = _read(request)
        found = await self._find(command)
        if found.outcome is not None:
            return _recorded(found, found.outcome)
        found.session.require_pending()
        if request.validate_only:
            return await self._rehearse(command, found.session)
        try:
            return await self._complete(command, found.session, principal.name)
        except (ObjectNotUploaded, ObjectChanging) as error:
            # Another call may have sealed, or given up, the object under our hands.
            return await self._answer_what_is_there(command, error)

    async def _find(self, command: _Command) -> Found:
        found = await self.sessions.find(command.tenant_id, command.attachment_id, command.request)
        if found is None:
            raise AttachmentNotFound(attachmentId=command.attachment_id)
        if command.request is not None and found.outcome is not None:
            found.outcome.require_same_payload(command.request)
        return found

    async def _rehearse(self, command: _Command, session: UploadSession) -> Completed:
        try:
            verified = await self._verify(command, session)
        except ObjectNotUploaded:
            missing = Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.FAILED)
            return Completed(session, (missing,))
        except PreconditionChanged:
            raise ObjectChanging from None
        return Completed(session, verified.checks)

    async def _complete(self, command: _Command, session: UploadSession, actor: str) -> Completed:
        for _ in range(ATTEMPTS):
            with suppress(PreconditionChanged):
                verified = await self._verify(command, session)
                if (failed := verified.failed_check) is not None:
                    return await self.background.finish(
                        self._make_failed(command, session, verified, as_error(failed), actor)
                    )
                sealed = await self.sealing(session, verified.found)
                # From here on nothing is lost, whatever becomes of the caller.
                return await self.background.finish(
                    self._make_ready(command, session, verified, sealed, actor)
                )
        raise ObjectChanging

    async def _verify(self, command: _Command, session: UploadSession) -> Verified:
        policy = self.policies.get(session.purpose) or self.policies[DEFAULT_PURPOSE]
        return await self.verification(
            session.upload_key, _expectation(command, session), policy.sniffing
        )

    async def _make_ready(
        self,
        command: _Command,
        session: UploadSession,
        verified: Verified,
        sealed: SealedObject,
        actor: str,
    ) -> Completed:
        completion = Completion(
            sealed=sealed,
            size=verified.found.size,
            checksums=verified.checksums,
            detected_content_type=verified.detected_content_type,
            checks=verified.checks,
        )
        ready = await self.sessions.complete(session, completion, command.request, actor)
        if session.seal is Seal.COPY:
            # Won: the uploaded object has done its service. Lost: nobody will know of our copy.
            self.disposal.later(session.upload_key if ready else sealed.key)
        if ready is None:
            return await self._answer_what_is_there(command, DatabaseUnavailable())
        return Completed(ready, verified.checks)

    async def _make_failed(
        self,
        command: _Command,
        session: UploadSession,
        verified: Verified,
        error: VerificationFailed,
        actor: str,
    ) -> Completed:
        failure = Failure(error.reason, error.facts)
        failed = await self.sessions.fail(session, failure, verified.checks, command.request, actor)
        if failed is None:
            return await self._answer_what_is_there(command, DatabaseUnavailable())
        self.disposal.later(session.upload_key)
        raise error

    async def _answer_what_is_there(
        self, command: _Command, if_pending: AttacheryError
    ) -> Completed:
        """What a call answers that another one has got ahead of, or `if_pending` if none has.

        A change that was refused for a reason that is gone can be tried again.
        """
        found = await self._find(command)
        if found.outcome is not None:
            return _recorded(found, found.outcome)
        found.session.require_pending()
        raise if_pending


def _read(request: CompleteRequest) -> _Command:
    reader = inputs.Reader()
    take = reader.take
    tenant_id = take("tenant_id", "INVALID_TENANT_ID", inputs.tenant_id, request.tenant_id)
    attachment_id = take(
        "attachment_id", "INVALID_ATTACHMENT_ID", inputs.attachment_id, request.attachment_id
    )
    request_id = take("request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id)
    checksums = inputs.checksums(reader, "checksums", request.checksums)
    size = inputs.size(reader, request.size, inputs.MAX_SIZE)
    reader.done()
    payload = {"attachment_id": attachment_id, "checksums": checksums.known(), "size": size}
    key = None if request.validate_only else request_key(METHOD, request_id, payload)
    return _Command(tenant_id, attachment_id, checksums, size, key)


def _expectation(command: _Command, session: UploadSession) -> Expectation:
    declared = session.declaration
    return Expectation(
        sizes=tuple(dict.fromkeys(s for s in (declared.size, command.size) if s is not None)),
        max_size=session.max_size,
        checksums=(declared.checksums, command.checksums),
        content_type=declared.content_type,
    )


def _recorded(found: Found, outcome: Outcome) -> Completed:
    """The outcome this request id had before."""
    failure = found.session.failure
    if failure is not None:
        raise error_of_reason(failure.reason, failure.facts)
    return Completed(found.session, outcome.checks)
