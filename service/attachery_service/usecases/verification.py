"""Verification of what arrived: storage's description first, then digests, then the first bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attachery_service.domain.checks import (
    Check,
    CheckMethod,
    Expectation,
    StoredObject,
    check_description,
    check_detected_type,
    check_digest,
    failures,
)
from attachery_service.domain.checksums import Checksums
from attachery_service.domain.errors import ObjectNotUploaded
from attachery_service.domain.policy import Sniffing
from attachery_service.ports import ObjectStore, TypeDetector

# Holds every signature the detector knows but those of a few archives' ends.
SNIFFED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Verified:
    """An object and what verification found; it is good if no check failed."""

    found: StoredObject
    checks: tuple[Check, ...]
    checksums: Checksums
    detected_content_type: str | None

    @property
    def failed_check(self) -> Check | None:
        return next(failures(self.checks), None)


@dataclass(frozen=True, slots=True)
class Verification:
    """Compares the object under a key with an expectation."""

    objects: ObjectStore
    detect_types: TypeDetector

    async def __call__(self, key: str, expected: Expectation, sniffing: Sniffing) -> Verified:
        """Stops after the first stage that failed: nobody hashes an object of the wrong size.

        Raises ObjectNotUploaded, PreconditionChanged, StorageUnavailable, StorageMisconfigured.
        """
        found = await self.objects.describe(key)
        if found is None:
            raise ObjectNotUploaded
        checks = check_description(expected, found)
        checksums = found.known_digests()
        detected: tuple[str, ...] = ()
        if _good(checks):
            digest_checks, checksums = await self._check_digests(expected, found)
            checks += digest_checks
        if _good(checks) and sniffing is not Sniffing.OFF:
            detected = await self._sniff(found)
            enforced = sniffing is Sniffing.ENFORCE
            checks.append(check_detected_type(expected.content_type, detected, enforced=enforced))
        return Verified(found, tuple(checks), checksums, detected[0] if detected else None)

    async def _check_digests(
        self, expected: Expectation, found: StoredObject
    ) -> tuple[list[Check], Checksums]:
        declared = expected.algorithms()
        unknown = [a for a in declared if found.known_digest(a) is None]
        hashed = await self.objects.digest(found, unknown) if unknown else Checksums()
        checks: list[Check] = []
        for algorithm in declared:
            actual, method = found.known_digest(algorithm) or (
                hashed.get(algorithm) or "",
                CheckMethod.HASHED,
            )
            checks += check_digest(algorithm, expected.checksums, actual, method)
        return checks, found.known_digests().with_defaults(hashed)

    async def _sniff(self, found: StoredObject) -> tuple[str, ...]:
        return tuple(self.detect_types(await self.objects.first_bytes(found, SNIFFED_BYTES)))


def _good(checks: Sequence[Check]) -> bool:
    return not any(failures(checks))
