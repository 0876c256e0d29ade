"""Verification of an upload: compares the declared values with those of object storage."""

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
    """The verified property."""

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
    """The method of a check: by metadata, checksum or ETag, or by reading the bytes."""

    HEAD = "head"
    ATTESTED = "attested"
    ETAG = "etag"
    HASHED = "hashed"
    SNIFFED = "sniffed"


class CheckOutcome(StrEnum):
    """The result of a check.

    REPORTED is a mismatch that the policy permits. INCONCLUSIVE: the bytes show neither a match nor
    a mismatch; it never fails an upload.
    """

    PASSED = "passed"
    FAILED = "failed"
    REPORTED = "reported"
    INCONCLUSIVE = "inconclusive"


class Check(Struct, frozen=True):
    """One check. `expected` and `actual` are empty if any value is valid."""

    kind: CheckKind
    method: CheckMethod
    outcome: CheckOutcome
    expected: str = ""
    actual: str = ""


class StoredObject(Struct, frozen=True, kw_only=True):
    """The metadata of an object in object storage.

    `etag` without quotes. `server_checksums`: digests of the whole object that object storage
    computed itself. `etag_is_md5`: a single-part object without KMS or customer-key encryption,
    whose ETag is the MD5 of the bytes (S3 API reference, "Common response headers").
    `content_encoding`: codings that a reader must undo. `unreadable`: the upload header
    that prevents the service from reading the bytes, empty if it can.
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
        """Returns a digest that is available without reading the bytes."""
        if (digest := self.server_checksums.get(algorithm)) is not None:
            return digest, CheckMethod.ATTESTED
        if algorithm is Algorithm.MD5 and self.etag_is_md5:
            return self.etag, CheckMethod.ETAG
        return None

    def known_digests(self) -> Checksums:
        md5 = self.known_digest(Algorithm.MD5)
        return self.server_checksums.with_defaults(Checksums(md5=md5[0] if md5 else None))


class Expectation(Struct, frozen=True, kw_only=True):
    """The required properties of an object: the declarations of Start and of Complete.

    Sizes in bytes. `min_size`: 0 if an empty object is valid, else 1.
    """

    sizes: tuple[int, ...]
    min_size: int
    max_size: int
    checksums: tuple[Checksums, ...]
    content_type: str

    def algorithms(self) -> list[Algorithm]:
        """The declared digests."""
        return [a for a in ALGORITHMS if any(c.get(a) is not None for c in self.checksums)]


def check_description(expected: Expectation, found: StoredObject) -> list[Check]:
    """Checks an object by its metadata alone.

    The maximum comes first: it ends a session whose other mismatches could be replaced.
    """
    checks = [
        Check(CheckKind.EXISTS, CheckMethod.HEAD, CheckOutcome.PASSED),
        _check(CheckKind.MAX_SIZE, found.size <= expected.max_size, expected.max_size, found.size),
    ]
    if found.unreadable:
        return [*checks, unreadable_check(found.unreadable)]
    if not expected.sizes and expected.min_size:
        checks.append(_check(CheckKind.NOT_EMPTY, found.size > 0, "", found.size))
    checks += [
        _check(CheckKind.SIZE, found.size == size, size, found.size) for size in expected.sizes
    ]
    checks.append(_check_content_type(expected.content_type, found))
    return checks


def unreadable_check(upload_header: str) -> Check:
    """Returns the failed check of an object that the service cannot read because of this header."""
    return _check(CheckKind.READABLE, False, "", upload_header)


def check_digest(
    algorithm: Algorithm, expected: Iterable[Checksums], actual: str, method: CheckMethod
) -> list[Check]:
    """Compares each declared digest of this algorithm; one check for each declaration."""
    kind = CheckKind(algorithm.value)
    declared = (digest for c in expected if (digest := c.get(algorithm)) is not None)
    return [_check(kind, digest == actual, digest, actual, method) for digest in declared]


class TypeEvidence(Struct, frozen=True):
    """The evidence of the first bytes about a declared type.

    `agrees`: whether they match it; None without evidence. `detected`: the media type of their
    signature, empty if there is none.
    """

    agrees: bool | None
    detected: str


def check_detected_type(declared: str, evidence: TypeEvidence, *, enforced: bool) -> Check:
    """Compares the declared type with the first bytes."""
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
    """Returns the error that reports a failed check."""
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
    """Returns the error with which a FAILED session failed verification."""
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
    # A downloader would decode an encoded object, and get other bytes than the verified ones.
    passed = same(declared, found.content_type) and not found.content_encoding
    coding = _printable(found.content_encoding)[:_LONGEST_CODING]
    note = f" with Content-Encoding {coding}" if coding else ""
    # If object storage does not enforce headers, the uploader chose this text, of any length.
    actual = _printable(found.content_type)[:_LONGEST_TYPE]
    return _check(CheckKind.CONTENT_TYPE, passed, declared, actual + note)


def _printable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
