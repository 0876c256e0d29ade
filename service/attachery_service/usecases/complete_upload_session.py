"""CompleteUploadSession: verify what arrived, seal it, make it an attachment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from attachery_service.background import Background
from attachery_service.domain import inputs
from attachery_service.domain.checks import (
    Check,
    CheckKind,
    CheckMethod,
    CheckOutcome,
    Expectation,
    StoredObject,
    as_error,
)
from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import (
    AttacheryError,
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
from attachery_service.usecases.one_attachment import AttachmentRef, find, read_ref
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
    ref: AttachmentRef
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
        found = await find(self.sessions, command.ref, command.request)
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

    async def _rehearse(self, command: _Command, session: UploadSession) -> Completed:
        expected = _expectation(command, session)
        try:
            described = await self.verification.describe(session.upload_key, expected)
            if described.failed_check is not None:
                return Completed(session, described.checks)
            verified = await self._read(described, described.found, expected, session)
        except ObjectNotUploaded:
            missing = Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.FAILED)
            return Completed(session, (missing,))
        except PreconditionChanged:
            raise ObjectChanging from None
        return Completed(session, verified.checks)

    async def _complete(self, command: _Command, session: UploadSession, actor: str) -> Completed:
        for _ in range(ATTEMPTS):
            with suppress(PreconditionChanged):
                return await self._attempt(command, session, actor)
        raise ObjectChanging

    async def _attempt(self, command: _Command, session: UploadSession, actor: str) -> Completed:
        expected = _expectation(command, session)
        verified = await self.verification.describe(session.upload_key, expected)
        if verified.failed_check is None:
            verified = await self._seal_and_read(verified, expected, session)
        # From here on nothing is lost, whatever becomes of the caller.
        if (failed := verified.failed_check) is not None:
            change = self._make_failed(command, session, verified, as_error(failed), actor)
        else:
            change = self._make_ready(command, session, verified, actor)
        return await self.background.finish(change)

    async def _seal_and_read(
        self, described: Verified, expected: Expectation, session: UploadSession
    ) -> Verified:
        """Reads what is sealed, so that nothing can come between verifying and handing out."""
        sealed = await self.sealing(session, described.found)
        try:
            return await self._read(described, sealed, expected, session)
        except BaseException:
            self._drop_copy(session, sealed.key)
            raise

    async def _read(
        self,
        described: Verified,
        found: StoredObject,
        expected: Expectation,
        session: UploadSession,
    ) -> Verified:
        policy = self.policies.get(session.purpose) or self.policies[DEFAULT_PURPOSE]
        return await self.verification.read(described, found, expected, policy.sniffing)

    async def _make_ready(
        self, command: _Command, session: UploadSession, verified: Verified, actor: str
    ) -> Completed:
        found = verified.found
        completion = Completion(
            sealed=SealedObject(found.key, found.etag),
            size=found.size,
            checksums=verified.checksums,
            detected_content_type=verified.detected_content_type,
            checks=verified.checks,
        )
        ready = await self.sessions.complete(session, completion, command.request, actor)
        if ready is None:
            self._drop_copy(session, found.key)
            return await self._answer_what_is_there(command, DatabaseUnavailable())
        if session.seal is Seal.COPY:
            self.disposal.later(session.upload_key)
        return Completed(ready, verified.checks)

    async def _make_failed(
        self,
        command: _Command,
        session: UploadSession,
        verified: Verified,
        error: VerificationFailed,
        actor: str,
    ) -> Completed:
        self._drop_copy(session, verified.found.key)
        failure = Failure(error.reason, error.facts)
        failed = await self.sessions.fail(session, failure, verified.checks, command.request, actor)
        if failed is None:
            return await self._answer_what_is_there(command, DatabaseUnavailable())
        self.disposal.later(session.upload_key)
        raise error

    def _drop_copy(self, session: UploadSession, key: str) -> None:
        """Deletes a copy that nobody will know of; never what was uploaded."""
        if key != session.upload_key:
            self.disposal.later(key)

    async def _answer_what_is_there(
        self, command: _Command, if_pending: AttacheryError
    ) -> Completed:
        """What a call answers that another one has got ahead of, or `if_pending` if none has.

        A change that was refused for a reason that is gone can be tried again.
        """
        found = await find(self.sessions, command.ref, command.request)
        if found.outcome is not None:
            return _recorded(found, found.outcome)
        found.session.require_pending()
        raise if_pending


def _read(request: CompleteRequest) -> _Command:
    reader = inputs.Reader()
    ref = read_ref(reader, request.tenant_id, request.attachment_id)
    request_id = reader.take(
        "request_id", "INVALID_REQUEST_ID", inputs.request_id, request.request_id
    )
    checksums = inputs.checksums(reader, "checksums", request.checksums)
    size = inputs.size(reader, request.size, inputs.MAX_SIZE)
    reader.done()
    payload = {"attachment_id": ref.attachment_id, "checksums": checksums.known(), "size": size}
    key = None if request.validate_only else request_key(METHOD, request_id, payload)
    return _Command(ref, checksums, size, key)


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
