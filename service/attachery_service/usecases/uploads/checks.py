"""Verification of an upload: by its metadata in object storage, then by its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from attachery_service.domain.checks import (
    Check,
    CheckMethod,
    Expectation,
    StoredObject,
    as_error,
    check_description,
    check_detected_type,
    check_digest,
    failures,
    unreadable_check,
)
from attachery_service.domain.checksums import Checksums
from attachery_service.domain.errors import (
    ObjectChanged,
    ObjectMissing,
    ObjectNotUploaded,
    VerificationFailed,
)
from attachery_service.domain.object_faults import PreconditionChanged, UnreadableObject
from attachery_service.domain.policy import Sniffing
from attachery_service.ports.content_types import TypeComparison
from attachery_service.ports.objects import ObjectReads

# Contains every known signature but those of disk images.
SNIFFED_BYTES = 4096


class Verified(Struct, frozen=True):
    """An object and its checks so far; it is good if no check has failed."""

    found: StoredObject
    checks: tuple[Check, ...]
    checksums: Checksums
    detected_content_type: str | None = None

    @property
    def failed_check(self) -> Check | None:
        """The first check that failed; None if the object is good so far."""
        return next(failures(self.checks), None)

    @property
    def error(self) -> VerificationFailed | None:
        """The error of the failed check."""
        failed = self.failed_check
        return None if failed is None else as_error(failed)

    def unreadable(self, upload_header: str) -> Verified:
        """The same, with the failed check of an object that cannot be read."""
        return replace(self, checks=(*self.checks, unreadable_check(upload_header)))


@dataclass(frozen=True, slots=True)
class Verification:
    """Compares an object with an expectation: first its metadata, then its bytes."""

    objects: ObjectReads
    compare_type: TypeComparison

    async def describe(self, key: str, expected: Expectation) -> Verified:
        """Returns the checks that one HEAD can answer.

        Raises ObjectNotUploaded, StorageUnavailable, StorageMisconfigured.
        """
        found = await self.objects.head(key)
        if found is None:
            raise ObjectNotUploaded
        checks = check_description(expected, found)
        return Verified(found, tuple(checks), found.known_digests())

    async def compare(self, found: StoredObject, expected: Expectation) -> Verified:
        """Compares a sealed object, as it was verified, with an expectation.

        Reads it only for a digest that is not stored. Raises ObjectMissing, ObjectChanged,
        StorageUnavailable, StorageMisconfigured.
        """
        described = Verified(found, tuple(check_description(expected, found)), Checksums())
        if described.failed_check is not None:
            return described
        try:
            return await self._check_digests(described, expected)
        except (PreconditionChanged, UnreadableObject):
            there = await self.objects.head(found.key)
            raise ObjectMissing if there is None else ObjectChanged from None

    async def read(
        self, described: Verified, found: StoredObject, expected: Expectation, sniffing: Sniffing
    ) -> Verified:
        """Checks the bytes of `found`: the object described, or the copy it was sealed as.

        Raises PreconditionChanged, StorageUnavailable, StorageMisconfigured.
        """
        try:
            return await self._read(replace(described, found=found), expected, sniffing)
        except UnreadableObject as refused:
            return described.unreadable(refused.upload_header)

    async def _read(
        self, described: Verified, expected: Expectation, sniffing: Sniffing
    ) -> Verified:
        found = described.found
        verified = await self._check_digests(described, expected)
        if verified.failed_check is not None or sniffing is Sniffing.OFF:
            return verified
        first_bytes = await self.objects.first_bytes(found, SNIFFED_BYTES)
        evidence = self.compare_type(expected.content_type, first_bytes)
        enforced = sniffing is Sniffing.ENFORCE
        check = check_detected_type(expected.content_type, evidence, enforced=enforced)
        return replace(
            verified,
            checks=(*verified.checks, check),
            detected_content_type=evidence.detected or None,
        )

    async def _check_digests(self, verified: Verified, expected: Expectation) -> Verified:
        found, declared = verified.found, expected.algorithms()
        unknown = [a for a in declared if found.known_digest(a) is None]
        hashed = await self.objects.digest(found, unknown) if unknown else Checksums()
        checks: list[Check] = []
        for algorithm in declared:
            actual, method = found.known_digest(algorithm) or (
                hashed.get(algorithm) or "",
                CheckMethod.HASHED,
            )
            checks += check_digest(algorithm, expected.checksums, actual, method)
        return replace(
            verified,
            checks=(*verified.checks, *checks),
            checksums=found.known_digests().with_defaults(hashed),
        )
