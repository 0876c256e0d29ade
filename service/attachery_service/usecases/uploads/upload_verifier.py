"""Verification and sealing of an upload, for single and batch Completes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from msgspec import Struct

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
    AttacheryError,
    ObjectChanging,
    ObjectNotUploaded,
    ObjectTooLarge,
    VerificationFailed,
)
from attachery_service.domain.idempotency import Outcome
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.object_faults import PreconditionChanged, UnreadableObject
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import (
    FailedSession,
    Failure,
    PendingSession,
    ReadySession,
    Seal,
    SealedObject,
    UploadSession,
)
from attachery_service.domain.transitions import Claim, Completion, Rejection
from attachery_service.domain.validation import Validator
from attachery_service.usecases.uploads.checks import Verification, Verified
from attachery_service.usecases.uploads.confirmation import Confirmation
from attachery_service.usecases.uploads.object_reaper import ObjectReaper
from attachery_service.usecases.uploads.sealer import Sealer

# An object that is replaced during verification is verified again, twice at most.
ATTEMPTS = 3

# A fact for callers whose target has expired, or is lost.
_NEW_TARGET = "Repeat StartUploadSession with the same request_id."

OpenSession = PendingSession | ReadySession


class ExtraConstraints(Struct, frozen=True):
    """Digests and size (bytes) of a Complete, in addition to those declared at Start."""

    checksums: Checksums
    size: int | None


class Completed(Struct, frozen=True):
    """The session and every check that was made."""

    session: UploadSession
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class UploadVerifier:
    """Reads and writes object storage only; changes no session."""

    policies: Mapping[str, Policy]
    verification: Verification
    confirmation: Confirmation
    sealer: Sealer
    reaper: ObjectReaper

    async def verify(self, session: PendingSession, extras: ExtraConstraints) -> Verified:
        """Verifies and seals the upload; the result is sealed, or names the failed check.

        A check that makes the session FAILED has failed twice, in different storage requests.
        Raises InvalidRequest, ObjectNotUploaded, ObjectChanging, StorageUnavailable,
        StorageMisconfigured.
        """
        expected = self._expectation(session, extras)
        for _ in range(ATTEMPTS):
            with suppress(PreconditionChanged):
                return await self._verify(session, expected)
        raise ObjectChanging

    async def dry_run(self, session: PendingSession, extras: ExtraConstraints) -> tuple[Check, ...]:
        """Checks the upload in its current state, and seals nothing. Raises as `verify`."""
        expected = self._expectation(session, extras)
        try:
            described = await self.verification.describe(session.upload_key, expected)
            if described.failed_check is not None:
                return described.checks
            return (await self._read(described, described.found, expected, session)).checks
        except ObjectNotUploaded:
            return (Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.FAILED),)
        except PreconditionChanged:
            raise ObjectChanging from None

    async def compare(self, session: ReadySession, extras: ExtraConstraints) -> Verified:
        """Verifies a READY session against a Complete, by its stored facts.

        Reads the sealed object only for a digest that is not stored. Raises ObjectMissing,
        ObjectChanged, StorageUnavailable, StorageMisconfigured.
        """
        expected = self._expectation(session, extras)
        return await self.verification.compare(_stored_object(session), expected)

    def is_final(self, session: OpenSession, error: AttacheryError) -> bool:
        """Returns whether bytes with this error end the session.

        An object above the maximum always does: a PUT without a declared size has no other limit.
        """
        return isinstance(error, ObjectTooLarge) or self._policy(session).terminal_on_mismatch

    def discard_copy(self, session: PendingSession, key: str) -> None:
        """Deletes a copy that no row will name; never the upload itself."""
        if key != session.upload_key:
            self.reaper.delete_later(key)

    def discard_source(self, session: UploadSession) -> None:
        """Deletes the upload, once the session names a copy of it."""
        if session.seal is Seal.COPY:
            self.reaper.delete_later(session.upload_key)

    def discard_upload(self, session: UploadSession) -> None:
        """Deletes the upload, once the session is FAILED."""
        self.reaper.delete_later(session.upload_key)

    async def _verify(self, session: PendingSession, expected: Expectation) -> Verified:
        described = await self._describe(session, expected)
        verified = described
        if described.failed_check is None:
            verified = await self._seal_and_read(described, expected, session)
        failed = verified.failed_check
        if failed is not None and self.is_final(session, as_error(failed)):
            try:
                await self._confirm(session, failed, described.found, expected)
            except BaseException:
                self.discard_copy(session, verified.found.key)
                raise
        return verified

    async def _describe(self, session: PendingSession, expected: Expectation) -> Verified:
        try:
            return await self.verification.describe(session.upload_key, expected)
        except ObjectNotUploaded:
            expire_time = session.upload_url_expire_time.isoformat()
            raise ObjectNotUploaded(
                uploadUrlExpireTime=expire_time, newTarget=_NEW_TARGET
            ) from None

    async def _confirm(
        self, session: PendingSession, failed: Check, found: StoredObject, expected: Expectation
    ) -> None:
        sniffing = self._policy(session).sniffing
        await self.confirmation.confirm(session, failed, found.etag, expected, sniffing)

    async def _seal_and_read(
        self, described: Verified, expected: Expectation, session: PendingSession
    ) -> Verified:
        """Reads the sealed object, so that no upload can replace the verified bytes."""
        try:
            sealed = await self.sealer.seal(session, described.found)
        except UnreadableObject as refused:
            return described.unreadable(refused.upload_header)
        try:
            return await self._read(described, sealed, expected, session)
        except BaseException:
            self.discard_copy(session, sealed.key)
            raise

    async def _read(
        self,
        described: Verified,
        found: StoredObject,
        expected: Expectation,
        session: PendingSession,
    ) -> Verified:
        sniffing = self._policy(session).sniffing
        return await self.verification.read(described, found, expected, sniffing)

    def _expectation(self, session: OpenSession, extras: ExtraConstraints) -> Expectation:
        """Raises InvalidRequest for a size that no upload of this session can have."""
        declared, min_size = session.declaration, self._policy(session).min_size
        if extras.size is not None and extras.size < min_size:
            validator = Validator()
            inputs.size(validator, extras.size, session.max_size, min_size=min_size)
            validator.raise_if_invalid()
        sizes = (size for size in (declared.size, extras.size) if size is not None)
        return Expectation(
            sizes=tuple(dict.fromkeys(sizes)),
            min_size=min_size,
            max_size=session.max_size,
            checksums=(declared.checksums, extras.checksums),
            content_type=declared.content_type,
        )

    def _policy(self, session: OpenSession) -> Policy:
        # An operator may remove a purpose while sessions of it are pending.
        return self.policies.get(session.purpose) or self.policies[DEFAULT_PURPOSE]


def completion_of(verified: Verified, *, is_claimable: bool = False) -> Completion:
    """Returns the outcome of a good upload."""
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
    """Returns the outcome of the uploader's Complete of a READY session."""
    return Claim(verified.checks, verified.checksums, verified.error)


def rejection_of(verified: Verified, error: VerificationFailed) -> Rejection:
    """Returns the outcome of a bad upload."""
    return Rejection(Failure(error.reason, error.facts), verified.checks)


def replay(found: SessionLookup, outcome: Outcome) -> Completed:
    """Returns the stored outcome of a request id.

    Raises VerificationFailed if the session FAILED, or did not match the service's own Complete.
    """
    if isinstance(found.session, FailedSession):
        failure = found.session.failure
        raise error_of_reason(failure.reason, failure.facts)
    for check in failures(outcome.checks):
        raise as_error(check)
    return Completed(found.session, outcome.checks)


def _stored_object(session: ReadySession) -> StoredObject:
    """Returns the sealed object as it was verified."""
    sealed, verified = session.sealed, session.verified_checksums
    return StoredObject(
        key=sealed.key,
        size=session.size,
        etag=sealed.etag,
        etag_is_md5=verified.md5 == sealed.etag,
        content_type=session.declaration.content_type,
        content_encoding="",
        server_checksums=verified,
    )
