"""What callers may send: a rule per field, and every broken rule of a request reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar, cast
from uuid import UUID

from attachery_service.domain.checksums import DIGITS, Algorithm, Checksums
from attachery_service.domain.code_points import has_control
from attachery_service.domain.content_types import is_media_type
from attachery_service.domain.errors import InvalidRequest, Violation
from attachery_service.domain.filenames import BadFilename, normalize_filename
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import Disposition

# google.rpc.BadRequest travels in the trailers, which hold little: see wire/status.py.
MAX_VIOLATIONS = 20

# The largest object of the S3 API: 5 TiB.
MAX_SIZE = 5 * 2**40

_TENANT_ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}")
_ATTACHMENT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,500}")
_HOLD_OWNER = re.compile(r"[\x21-\x7e]{1,128}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9._+@%-]{1,128}")
_HEX = re.compile(r"[0-9a-f]*")

_MAX_TYPE_BYTES = 255
_MAX_METADATA_PAIRS = 50
_MAX_METADATA_KEY_BYTES = 64
_MAX_METADATA_VALUE_BYTES = 512

V = TypeVar("V")
T = TypeVar("T")


class Broken(Exception):
    """A value breaks its rule; the text says the rule, and never repeats the value."""


class Reader:
    """Reads a request's fields one by one and remembers every broken rule, in field order."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []
        self._facts: dict[str, object] = {}

    def take(self, field: str, reason: str, rule: Callable[[V], T], value: V) -> T:
        """The value by its rule. After a broken one the result is no value: `done` raises."""
        try:
            return rule(value)
        except Broken as error:
            self.refuse(field, reason, str(error))
            return cast("T", None)

    def refuse(self, field: str, reason: str, description: str, **facts: object) -> None:
        if not self._violations:
            self._facts = facts
        self._violations.append(Violation(field, reason, description))

    def done(self) -> None:
        """Raises InvalidRequest if any rule was broken."""
        if self._violations:
            raise invalid(self._violations[:MAX_VIOLATIONS], **self._facts)


def invalid(violations: list[Violation], **facts: object) -> InvalidRequest:
    """The error for these violations; the first one's reason is the error's."""
    first = violations[0]
    return InvalidRequest(violations, field=first.field, rule=first.description, **facts)


def tenant_id(value: str) -> str:
    if not _TENANT_ID.fullmatch(value):
        raise Broken("must be 1 to 128 of letters, digits, '.', '_', '~', '-', not begin with '.'")
    return value


def attachment_id(value: str) -> UUID:
    if not _ATTACHMENT_ID.fullmatch(value):
        raise Broken("must be a lower-case, hyphenated UUID")
    return UUID(value)


def request_id(value: str) -> str | None:
    if value and not _REQUEST_ID.fullmatch(value):
        raise Broken("must be 1 to 500 printable ASCII characters without spaces")
    return value or None


def hold_id(value: str) -> UUID:
    return attachment_id(value)


def hold_owner(value: str) -> str:
    """Empty if nobody is named."""
    if value and not _HOLD_OWNER.fullmatch(value):
        raise Broken("must be 1 to 128 printable ASCII characters without spaces")
    return value


def filename(value: str) -> str:
    """The name in the form that is stored: see `normalize_filename`."""
    try:
        return normalize_filename(value)
    except BadFilename as error:
        raise Broken(str(error)) from None


def content_type(value: str) -> str:
    if len(value.encode()) > _MAX_TYPE_BYTES or not is_media_type(value):
        raise Broken("must be a media type such as 'image/png', at most 255 bytes")
    return value


def content_id(value: str) -> str | None:
    """Without one pair of angle brackets; None if empty."""
    if not value:
        return None
    bare = value[1:-1] if value.startswith("<") and value.endswith(">") else value
    if not _CONTENT_ID.fullmatch(bare):
        raise Broken("must be 1 to 128 of letters, digits, '.', '_', '-', '+', '@', '%'")
    return bare


def digest(algorithm: Algorithm) -> Callable[[str], str | None]:
    """The rule for a digest of this algorithm: hexadecimal, lower case out; None if empty."""
    digits = DIGITS[algorithm]

    def rule(value: str) -> str | None:
        folded = value.lower()
        if value and (len(value) != digits or not _HEX.fullmatch(folded)):
            raise Broken(f"must be {digits} hexadecimal digits")
        return folded or None

    return rule


def checksums(reader: Reader, field: str, values: Mapping[Algorithm, str]) -> Checksums:
    digests = {
        algorithm: reader.take(
            f"{field}.{algorithm.value}", "INVALID_CHECKSUM", digest(algorithm), value
        )
        for algorithm, value in values.items()
    }
    return Checksums.of({a: d for a, d in digests.items() if d})


def metadata(value: Mapping[str, str]) -> dict[str, str]:
    if len(value) > _MAX_METADATA_PAIRS:
        raise Broken(f"must be at most {_MAX_METADATA_PAIRS} pairs")
    for key, text in value.items():
        if not 1 <= len(key.encode()) <= _MAX_METADATA_KEY_BYTES or has_control(key):
            raise Broken("keys must be 1 to 64 bytes of UTF-8 without control characters")
        if len(text.encode()) > _MAX_METADATA_VALUE_BYTES or has_control(text):
            raise Broken("values must be at most 512 bytes of UTF-8 without control characters")
    return dict(value)


def allowed_content_type(policy: Policy) -> Callable[[str], str]:
    """The rule for a type that is one at all: whether the policy takes it."""

    def rule(value: str) -> str:
        if not policy.allows(value):
            raise Broken(f"must be one of: {', '.join(policy.allowed_content_types)}")
        return value

    return rule


def size(
    reader: Reader,
    value: int | None,
    max_size: int,
    field: str = "size_bytes",
    *,
    min_size: int = 1,
) -> int | None:
    """Check a declared size in bytes: `min_size` up to `max_size`."""
    if value is not None and not min_size <= value <= max_size:
        reader.refuse(
            field,
            "SIZE_OUT_OF_RANGE",
            f"must be {min_size} to {max_size}",
            maxSize=max_size,
            actualSize=value,
        )
    return value


def disposition(value: str) -> Disposition | None:
    """None if not given."""
    if value and value not in {d.value for d in Disposition}:
        raise Broken("must be a disposition this version knows")
    return Disposition(value) if value else None


def purpose(policies: Mapping[str, Policy]) -> Callable[[str], str]:
    def rule(value: str) -> str:
        name = value or DEFAULT_PURPOSE
        if name not in policies:
            raise Broken("must be the name of a policy of this service")
        return name

    return rule


def page_size(default: int, most: int) -> Callable[[int], int]:
    """The rule for how many are asked for: none is the default, more than `most` is `most`."""

    def rule(value: int) -> int:
        if value < 0:
            raise Broken("must not be negative")
        return min(value or default, most)

    return rule


def duration_between(
    least: timedelta, most: timedelta
) -> Callable[[timedelta | None], timedelta | None]:
    """The rule for an optional lifetime."""

    def rule(value: timedelta | None) -> timedelta | None:
        if value is not None and not least <= value <= most:
            raise Broken(f"must be {_seconds(least)} s to {_seconds(most)} s")
        return value

    return rule


def _seconds(value: timedelta) -> int:
    return int(value.total_seconds())
