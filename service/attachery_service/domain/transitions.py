"""The facts that a Complete stores: the upload is good, bad, or claimed."""

from __future__ import annotations

from msgspec import Struct

from attachery_service.domain.checks import Check
from attachery_service.domain.checksums import Checksums
from attachery_service.domain.errors import VerificationFailed
from attachery_service.domain.sessions import Failure, SealedObject


class Completion(Struct, frozen=True, kw_only=True):
    """A verified and sealed upload, PENDING → READY. Size in bytes.

    `is_claimable`: the service completed the session itself, and the uploader may still do so.
    """

    sealed: SealedObject
    size: int
    checksums: Checksums
    detected_content_type: str | None
    checks: tuple[Check, ...]
    is_claimable: bool = False


class Claim(Struct, frozen=True):
    """The uploader's Complete of a session that the service has made READY.

    `checksums`: the digests computed for it. `mismatch`: the error of the failed check, if any;
    the session stays READY either way.
    """

    checks: tuple[Check, ...]
    checksums: Checksums
    mismatch: VerificationFailed | None


class Rejection(Struct, frozen=True):
    """An upload that failed verification, PENDING → FAILED."""

    failure: Failure
    checks: tuple[Check, ...]


CompleteOutcome = Completion | Rejection | Claim
