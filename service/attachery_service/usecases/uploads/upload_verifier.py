"""What CompleteUploadSession and its batch share: what arrived, verified and sealed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from attachery_service.domain import inputs
from attachery_service.domain.checks import (
    Check,
    CheckKind,
    CheckMethod,
    CheckOutcome,
    Expectation,
    StoredObject,
    as_error,
    error_of_reason,
    failures,
)
from attachery_service.domain.checksums import Checksums
from attachery_service.domain.errors import (
    ObjectChanging,
    ObjectNotUploaded,
    VerificationFailed,
)
from attachery_service.domain.idempotency import Outcome
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.object_faults import PreconditionChanged, UnreadableObject
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import Failure, Seal, SealedObject, UploadSession
from attachery_service.domain.transitions import Claim, Completion, Rejection
from attachery_service.usecases.uploads.checks import Verification, Verified
from attachery_service.usecases.uploads.confirmation import Confirmation
from attachery_service.usecases.uploads.object_reaper import Disposal
from attachery_service.usecases.uploads.sealing import Sealing

# An object that changes under verification is verified anew, twice at most.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Demands:
    """What a Complete asks of the bytes in addition to what was declared at Start."""

    checksums: Checksums
    size: int | None


@dataclass(frozen=True, slots=True)
class Completed:
    """The session and every check that was made."""

    session: UploadSession
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """Asks the store, and changes no session."""

    policies: Mapping[str, Policy]
    verification: Verification
    confirmation: Confirmation
    sealing: Sealing
    disposal: Disposal

    async def __call__(self, session: UploadSession, demands: Demands) -> Verified:
        """Verify and seal what arrived; the result is sealed, or names the check that failed.

        A check that makes the session FAILED has failed twice, in different storage requests.
        Raises InvalidRequest, ObjectNotUploaded, ObjectChanging, StorageUnavailable,
        StorageMisconfigured.
        """
        expected = self._expectation(session, demands)
        for _ in range(ATTEMPTS):
            with suppress(PreconditionChanged):
                return await self._verify(session, expected)
        raise ObjectChanging

    async def dry_run(self, session: UploadSession, demands: Demands) -> tuple[Check, ...]:
        """The checks of what is there now; nothing is sealed. Raises as above."""
        expected = self._expectation(session, demands)
        try:
            described = await self.verification.describe(session.upload_key, expected)
            if described.failed_check is not None:
                return described.checks
            return (await self._read(described, described.found, expected, session)).checks
        except ObjectNotUploaded:
            return (Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.FAILED),)
        except PreconditionChanged:
            raise ObjectChanging from None

    async def compare(self, session: UploadSession, demands: Demands) -> Verified:
        """Verify a READY session against what a Complete asks, by the facts that are stored of it.

        Reads the sealed object only for a digest that is not stored. Raises ObjectMissing,
        ObjectChanged, StorageUnavailable, StorageMisconfigured.
        """
        return await self.verification.compare(
            _sealed(session), self._expectation(session, demands)
        )

    def is_final(self, session: UploadSession) -> bool:
        """Whether bytes that are wrong end the session."""
        return self._policy(session).terminal_on_mismatch

    def drop_copy(self, session: UploadSession, key: str) -> None:
        """Delete a copy that no row will name; never what was uploaded or is READY."""
        if key != session.upload_key and session.sealed is None:
            self.disposal.later(key)

    def drop_source(self, session: UploadSession) -> None:
        """Deletes what was uploaded, once the session names a copy of it."""
        if session.seal is Seal.COPY:
            self.disposal.later(session.upload_key)

    def drop_upload(self, session: UploadSession) -> None:
        """Deletes what was uploaded, once the session is FAILED."""
        self.disposal.later(session.upload_key)

    async def _verify(self, session: UploadSession, expected: Expectation) -> Verified:
        described = await self.verification.describe(session.upload_key, expected)
        verified = described
        if described.failed_check is None:
            verified = await self._seal_and_read(described, expected, session)
        if verified.failed_check is not None and self.is_final(session):
            try:
                await self._confirm(session, verified.failed_check, described.found, expected)
            except BaseException:
                self.drop_copy(session, verified.found.key)
                raise
        return verified

    async def _confirm(
        self, session: UploadSession, failed: Check, found: StoredObject, expected: Expectation
    ) -> None:
        sniffing = self._policy(session).sniffing
        await self.confirmation.confirm(session, failed, found.etag, expected, sniffing)

    async def _seal_and_read(
        self, described: Verified, expected: Expectation, session: UploadSession
    ) -> Verified:
        """Reads what is sealed, so that nothing can come between verifying and handing out."""
        try:
            sealed = await self.sealing(session, described.found)
        except UnreadableObject as refused:
            return described.unreadable(refused.upload_header)
        try:
            return await self._read(described, sealed, expected, session)
        except BaseException:
            self.drop_copy(session, sealed.key)
            raise

    async def _read(
        self,
        described: Verified,
        found: StoredObject,
        expected: Expectation,
        session: UploadSession,
    ) -> Verified:
        sniffing = self._policy(session).sniffing
        return await self.verification.read(described, found, expected, sniffing)

    def _expectation(self, session: UploadSession, demands: Demands) -> Expectation:
        """Raises InvalidRequest for a size that no upload of this session can have."""
        declared, min_size = session.declaration, self._policy(session).min_size
        if demands.size is not None and demands.size < min_size:
            reader = inputs.Reader()
            inputs.size(reader, demands.size, session.max_size, min_size=min_size)
            reader.done()
        sizes = (size for size in (declared.size, demands.size) if size is not None)
        return Expectation(
            sizes=tuple(dict.fromkeys(sizes)),
            min_size=min_size,
            max_size=session.max_size,
            checksums=(declared.checksums, demands.checksums),
            content_type=declared.content_type,
        )

    def _policy(self, session: UploadSession) -> Policy:
        # A purpose may leave the file while sessions of it are pending.
        return self.policies.get(session.purpose) or self.policies[DEFAULT_PURPOSE]


def completion_of(verified: Verified, *, is_claimable: bool = False) -> Completion:
    """What a good upload adds to its session."""
    found = verified.found
    return Completion(
        sealed=SealedObject(found.key, found.etag),
        size=found.size,
        checksums=verified.checksums,
        detected_content_type=verified.detected_content_type,
        checks=verified.checks,
        is_claimable=is_claimable,
    )


def claim_of(verified: Verified) -> Claim:
    """What the uploader's Complete of a READY session stores."""
    return Claim(verified.checks, verified.checksums, verified.error)


def rejection_of(verified: Verified, error: VerificationFailed) -> Rejection:
    """How a bad upload ends its session."""
    return Rejection(Failure(error.reason, error.facts), verified.checks)


def recorded(found: SessionLookup, outcome: Outcome) -> Completed:
    """The outcome a request id had before.

    Raises VerificationFailed if that was FAILED, or a mismatch with what the service completed.
    """
    failure = found.session.failure
    if failure is not None:
        raise error_of_reason(failure.reason, failure.facts)
    for check in failures(outcome.checks):
        raise as_error(check)
    return Completed(found.session, outcome.checks)


def _sealed(session: UploadSession) -> StoredObject:
    """The sealed object as it was verified. Raises the errors of `require_bytes`."""
    sealed, verified = session.require_bytes(), session.verified_checksums
    return StoredObject(
        key=sealed.key,
        size=session.size or 0,
        etag=sealed.etag,
        etag_is_md5=verified.md5 == sealed.etag,
        content_type=session.declaration.content_type,
        content_encoding="",
        attested=verified,
    )
