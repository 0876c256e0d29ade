"""Declarations: the description of a file that a caller sends at Start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from attachery_service.domain import inputs
from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.code_points import has_control
from attachery_service.domain.content_types import is_media_type
from attachery_service.domain.filenames import normalize_filename
from attachery_service.domain.policy import Policy
from attachery_service.domain.validation import RuleViolation, Validator

_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9._+@%-]{1,128}")
_MAX_TYPE_BYTES: Final = 255
_MAX_METADATA_PAIRS: Final = 50
_MAX_METADATA_KEY_BYTES: Final = 64
_MAX_METADATA_VALUE_BYTES: Final = 512


class Disposition(StrEnum):
    """The way in which a consumer should show an attachment (RFC 6266)."""

    ATTACHMENT = "attachment"
    INLINE = "inline"


class Declaration(Struct, frozen=True, kw_only=True):
    """A validated and normalised declaration. Size in bytes."""

    filename: str
    content_type: str
    size: int | None
    checksums: Checksums
    content_id: str | None
    disposition: Disposition
    is_inline: bool
    metadata: Mapping[str, str]

    def payload(self) -> dict[str, Any]:
        """Returns the part of a request's payload that decides its outcome."""
        return {
            "filename": self.filename,
            "content_type": self.content_type,
            "size": self.size,
            "checksums": self.checksums.known(),
            "content_id": self.content_id,
            "disposition": self.disposition,
            "metadata": self.metadata,
        }


def filename(validator: Validator, value: str) -> str:
    try:
        return normalize_filename(value)
    except RuleViolation as error:
        validator.reject("filename", "INVALID_FILENAME", str(error))
        return value


def content_type(validator: Validator, value: str, policy: Policy) -> str:
    if len(value.encode()) > _MAX_TYPE_BYTES or not is_media_type(value):
        rule = "must be a media type such as 'image/png', at most 255 bytes"
        validator.reject("content_type", "INVALID_CONTENT_TYPE", rule)
    elif not policy.allows(value):
        rule = f"must be one of: {', '.join(policy.allowed_content_types)}"
        validator.reject("content_type", "CONTENT_TYPE_NOT_ALLOWED", rule)
    return value


def size_and_checksums(
    validator: Validator, size: int | None, sent: Mapping[Algorithm, str], policy: Policy
) -> tuple[int | None, Checksums]:
    if policy.size_required and size is None:
        validator.reject("size_bytes", "SIZE_REQUIRED", "must be declared for this purpose")
    if policy.checksum_required and not any(sent.values()):
        validator.reject("checksums", "CHECKSUM_REQUIRED", "must hold one for this purpose")
    inputs.size(validator, size, policy.max_size, min_size=policy.min_size)
    return size, inputs.checksums(validator, "checksums", sent)


def content_id(validator: Validator, value: str) -> str | None:
    """Removes one pair of angle brackets. Returns None for an empty text."""
    if not value:
        return None
    bare = value[1:-1] if value.startswith("<") and value.endswith(">") else value
    if not _CONTENT_ID.fullmatch(bare):
        rule = "must be 1 to 128 of letters, digits, '.', '_', '-', '+', '@', '%'"
        validator.reject("content_id", "INVALID_CONTENT_ID", rule)
    return bare


def check_metadata(validator: Validator, sent: Mapping[str, str]) -> None:
    if sent and (rule := _broken_metadata_rule(sent)) is not None:
        validator.reject("metadata", "INVALID_METADATA", rule)


def _broken_metadata_rule(metadata: Mapping[str, str]) -> str | None:
    if len(metadata) > _MAX_METADATA_PAIRS:
        return f"must be at most {_MAX_METADATA_PAIRS} pairs"
    for key, value in metadata.items():
        if not 1 <= len(key.encode()) <= _MAX_METADATA_KEY_BYTES or has_control(key):
            return "keys must be 1 to 64 bytes of UTF-8 without control characters"
        if len(value.encode()) > _MAX_METADATA_VALUE_BYTES or has_control(value):
            return "values must be at most 512 bytes of UTF-8 without control characters"
    return None
