"""Verification: what was declared against what storage holds, each check by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct

from attachery_service.domain.checksums import ALGORITHMS, Algorithm, Checksums
from attachery_service.domain.content_types import essence, same
from attachery_service.domain.errors import (
    ChecksumMismatch,
    ContentTypeMismatch,
    EmptyObject,
    ObjectTooLarge,
    ObjectUnreadable,
    SizeMismatch,
    VerificationFailed,
)

_LONGEST_TYPE = 255
_LONGEST_CODING = 64


class CheckKind(StrEnum):
    """What was verified."""

    EXISTS = "exists"
    NOT_EMPTY = "not_empty"
    SIZE = "size"
    MAX_SIZE = "max_size"
    MD5 = "md5"
    SHA256 = "sha256"
    CRC32C = "crc32c"
    CRC64NVME = "crc64nvme"
    CONTENT_TYPE = "content_type"
    DETECTED_CONTENT_TYPE = "detected_content_type"
    READABLE = "readable"


class CheckMethod(StrEnum):
    """How it was verified: by what storage says, computed or keeps as ETag, or by reading."""

    HEAD = "head"
    ATTESTED = "attested"
    ETAG = "etag"
    HASHED = "hashed"
    SNIFFED = "sniffed"


class CheckOutcome(StrEnum):
    """What came out.

    REPORTED is a mismatch that the policy lets pass. INCONCLUSIVE says that the bytes show neither
    a match nor a mismatch; it never fails an upload.
    """

    PASSED = "passed"
    FAILED = "failed"
    REPORTED = "reported"
    INCONCLUSIVE = "inconclusive"


class Check(Struct, frozen=True):
    """One thing that was verified. `expected` and `actual` are empty where anything would do."""

    kind: CheckKind
    method: CheckMethod
    outcome: CheckOutcome
    expected: str = ""
    actual: str = ""


class StoredObject(Struct, frozen=True, kw_only=True):
    """An object as storage describes it.

    `etag` without quotes. `server_checksums`: digests of the whole object that object storage
    computed itself.
    `etag_is_md5`: a single-part object, not encrypted with a key of its own, so that the ETag is
    the MD5 of the bytes (S3 API reference, "Common response headers"). `content_encoding`: codings
    that a reader must undo. `unreadable`: the upload header that keeps the service from reading
    the bytes, empty if it can.
    """

    key: str
    size: int
    etag: str
    etag_is_md5: bool
    content_type: str
    content_encoding: str
    server_checksums: Checksums
    unreadable: str = ""

    def known_digest(self, algorithm: Algorithm) -> tuple[str, CheckMethod] | None:
        """A digest that needs no reading of the bytes."""
        if (digest := self.server_checksums.get(algorithm)) is not None:
            return digest, CheckMethod.ATTESTED
        if algorithm is Algorithm.MD5 and self.etag_is_md5:
            return self.etag, CheckMethod.ETAG
        return None

    def known_digests(self) -> Checksums:
        md5 = self.known_digest(Algorithm.MD5)
        return self.server_checksums.with_defaults(Checksums(md5=md5[0] if md5 else None))


class Expectation(Struct, frozen=True, kw_only=True):
    """What an object must be: sizes (bytes), digests and type declared at Start and at Complete.

    `min_size`: 0 where an empty object is good, else 1.
    """

    sizes: tuple[int, ...]
    min_size: int
    max_size: int
    checksums: tuple[Checksums, ...]
    content_type: str

    def algorithms(self) -> list[Algorithm]:
        """The digests somebody declared."""
        return [a for a in ALGORITHMS if any(c.get(a) is not None for c in self.checksums)]


def check_description(expected: Expectation, found: StoredObject) -> list[Check]:
    """The checks that storage's description of the object answers."""
    checks = [Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.PASSED)]
    if found.unreadable:
        return [*checks, unreadable_check(found.unreadable)]
    if not expected.sizes and expected.min_size:
        checks.append(_check(CheckKind.NOT_EMPTY, found.size > 0, "", found.size))
    checks += [
        _check(CheckKind.SIZE, found.size == size, size, found.size) for size in expected.sizes
    ]
    checks.append(
        _check(CheckKind.MAX_SIZE, found.size <= expected.max_size, expected.max_size, found.size)
    )
    checks.append(_check_content_type(expected.content_type, found))
    return checks


def unreadable_check(upload_header: str) -> Check:
    """The failed check of an object that the service cannot read because of this header."""
    return _check(CheckKind.READABLE, False, "", upload_header)


def check_digest(
    algorithm: Algorithm, expected: Iterable[Checksums], actual: str, method: CheckMethod
) -> list[Check]:
    """One check for each declared digest of this algorithm."""
    kind = CheckKind(algorithm.value)
    declared = (digest for c in expected if (digest := c.get(algorithm)) is not None)
    return [_check(kind, digest == actual, digest, actual, method) for digest in declared]


class TypeEvidence(Struct, frozen=True):
    """What the first bytes say of a declared type.

    `agrees`: whether they show it; None if they cannot tell. `detected`: the media type whose
    signature they show, empty for none.
    """

    agrees: bool | None
    detected: str


def check_detected_type(declared: str, evidence: TypeEvidence, *, enforced: bool) -> Check:
    """Whether the first bytes show the declared type."""
    outcomes = {
        True: CheckOutcome.PASSED,
        None: CheckOutcome.INCONCLUSIVE,
        False: CheckOutcome.FAILED if enforced else CheckOutcome.REPORTED,
    }
    return Check(
        CheckKind.DETECTED_CONTENT_TYPE,
        CheckMethod.SNIFFED,
        outcomes[evidence.agrees],
        essence(declared),
        evidence.detected,
    )


def failures(checks: Iterable[Check]) -> Iterator[Check]:
    return (check for check in checks if check.outcome is CheckOutcome.FAILED)


def as_error(check: Check) -> VerificationFailed:
    """The error a failed check answers with."""
    expected, actual = check.expected, check.actual
    match check.kind:
        case CheckKind.NOT_EMPTY:
            error: VerificationFailed = EmptyObject(actualSize=actual)
        case CheckKind.SIZE:
            error = SizeMismatch(expectedSize=expected, actualSize=actual)
        case CheckKind.MAX_SIZE:
            error = ObjectTooLarge(maxSize=expected, actualSize=actual)
        case CheckKind.MD5 | CheckKind.SHA256 | CheckKind.CRC32C | CheckKind.CRC64NVME:
            error = ChecksumMismatch(algorithm=check.kind.value, expected=expected, actual=actual)
        case CheckKind.CONTENT_TYPE:
            error = ContentTypeMismatch(expectedContentType=expected, actualContentType=actual)
        case CheckKind.DETECTED_CONTENT_TYPE:
            error = ContentTypeMismatch(expectedContentType=expected, detectedContentType=actual)
        case CheckKind.READABLE:
            error = ObjectUnreadable(uploadHeader=actual)
        case CheckKind.EXISTS:
            raise AssertionError(check)  # a missing object is no failed verification
    return error


def error_of_reason(reason: str, facts: Mapping[str, str]) -> VerificationFailed:
    """The error with which a FAILED session failed verification."""
    kinds = {kind.reason: kind for kind in VerificationFailed.__subclasses__()}
    return kinds.get(reason, VerificationFailed)(**facts)


def _check(
    kind: CheckKind,
    passed: bool,
    expected: object,
    actual: object,
    method: CheckMethod = CheckMethod.HEAD,
) -> Check:
    outcome = CheckOutcome.PASSED if passed else CheckOutcome.FAILED
    return Check(kind, method, outcome, str(expected), str(actual))


def _check_content_type(declared: str, found: StoredObject) -> Check:
    # An encoded object would be decoded by whoever downloads it: other bytes than were verified.
    passed = same(declared, found.content_type) and not found.content_encoding
    coding = _printable(found.content_encoding)[:_LONGEST_CODING]
    note = f" with Content-Encoding {coding}" if coding else ""
    # Where a store binds no headers, the uploader wrote this: any bytes, of any length.
    actual = _printable(found.content_type)[:_LONGEST_TYPE]
    return _check(CheckKind.CONTENT_TYPE, passed, declared, actual + note)


def _printable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
