"""Rules of the fields that several requests share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from attachery_service.domain.checksums import DIGITS, NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.code_points import has_control
from attachery_service.domain.identifiers import parse_tenant_id, parse_uuid
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.validation import RuleViolation, Validator

# The largest object of the S3 API: 5 TiB.
MAX_SIZE: Final = 5 * 2**40

_LONGEST_REQUEST_ID: Final = 500
_OWN_NAME: Final = re.compile(r"[\x21-\x7e]{1,128}")
_HEX: Final = re.compile(r"[0-9a-f]*")

_REJECTED_ID: Final = UUID(int=0)


def tenant_id(validator: Validator, value: str, field: str = "tenant_id") -> str:
    try:
        return parse_tenant_id(value)
    except RuleViolation as error:
        validator.reject(field, "INVALID_TENANT_ID", str(error))
        return value


def attachment_id(validator: Validator, value: str, field: str = "attachment_id") -> UUID:
    return _uuid(validator, value, field, "INVALID_ATTACHMENT_ID")


def hold_id(validator: Validator, value: str) -> UUID:
    return _uuid(validator, value, "hold_id", "INVALID_HOLD_ID")


def request_id(validator: Validator, value: str) -> str | None:
    """Returns None for an empty id."""
    if len(value) > _LONGEST_REQUEST_ID or has_control(value):
        rule = f"must be 1 to {_LONGEST_REQUEST_ID} characters without control characters"
        validator.reject("request_id", "INVALID_REQUEST_ID", rule)
    return value or None


def hold_owner(validator: Validator, value: str) -> str:
    """Returns an empty text for a hold without an owner."""
    return _own_name(validator, value, "hold_owner", "INVALID_HOLD_OWNER") if value else value


def subject(validator: Validator, value: str) -> str:
    return _own_name(validator, value, "subject", "INVALID_SUBJECT")


def checksums(validator: Validator, field: str, sent: Mapping[Algorithm, str]) -> Checksums:
    """Returns the digests that are not empty, in lower case."""
    digests = {
        algorithm: _digest(validator, f"{field}.{algorithm}", DIGITS[algorithm], value)
        for algorithm, value in sent.items()
        if value
    }
    return Checksums.of(digests) if digests else NO_CHECKSUMS


def size(
    validator: Validator,
    value: int | None,
    max_size: int,
    field: str = "size_bytes",
    *,
    min_size: int = 1,
) -> int | None:
    """Checks a declared size in bytes: `min_size` to `max_size`."""
    if value is not None and not min_size <= value <= max_size:
        rule = f"must be {min_size} to {max_size}"
        validator.reject(field, "SIZE_OUT_OF_RANGE", rule, maxSize=max_size, actualSize=value)
    return value


def purpose(validator: Validator, value: str, policies: Mapping[str, Policy]) -> str:
    """Returns the name of a policy, the default one's for an empty text."""
    name = value or DEFAULT_PURPOSE
    if name not in policies:
        rule = "must be the name of a policy of this service"
        validator.reject("purpose", "INVALID_PURPOSE", rule)
    return name


def page_size(validator: Validator, value: int, default: int, maximum: int) -> int:
    """Returns `default` for 0, and at most `maximum`."""
    if value < 0:
        validator.reject("page_size", "INVALID_PAGE_SIZE", "must not be negative")
    return min(value or default, maximum)


def duration(
    validator: Validator,
    field: str,
    reason: str,
    value: timedelta | None,
    limits: tuple[timedelta, timedelta],
) -> timedelta | None:
    """Checks an optional lifetime: from the first to the second of `limits`."""
    shortest, longest = limits
    if value is not None and not shortest <= value <= longest:
        validator.reject(field, reason, f"must be {_seconds(shortest)} s to {_seconds(longest)} s")
    return value


def _uuid(validator: Validator, value: str, field: str, reason: str) -> UUID:
    try:
        return parse_uuid(value)
    except RuleViolation as error:
        validator.reject(field, reason, str(error))
        return _REJECTED_ID


def _own_name(validator: Validator, value: str, field: str, reason: str) -> str:
    """Checks a name that the caller chooses."""
    if not _OWN_NAME.fullmatch(value):
        rule = "must be 1 to 128 printable ASCII characters without spaces"
        validator.reject(field, reason, rule)
    return value


def _digest(validator: Validator, field: str, digits: int, value: str) -> str:
    folded = value.lower()
    if len(value) != digits or not _HEX.fullmatch(folded):
        validator.reject(field, "INVALID_CHECKSUM", f"must be {digits} hexadecimal digits")
    return folded


def _seconds(value: timedelta) -> int:
    return int(value.total_seconds())
