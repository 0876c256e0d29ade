"""Compares a declared type with the first bytes of a file: a consistency check, no proof of safety.

There are two tables. This package's own (`signatures`, `brands`) lists the types that must have a
signature, each with the signatures of all valid files. The table of puremagic has more formats, but
one signature under many names, and signatures of two bytes. It can confirm a declared type or name
a detected one, but never rejects a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attachery_service.domain.checks import TypeEvidence
from attachery_service.domain.content_types import OPAQUE, canonical
from attachery_service.media.brands import plainest_type
from attachery_service.media.more_signatures import types_of
from attachery_service.media.signatures import (
    FORMATS,
    LENIENT,
    TEXT_SUFFIXES,
    TEXT_TOO,
    TEXT_TYPES,
)
from attachery_service.media.signatures.formats import Format
from attachery_service.media.text import holds_any, is_text

# Files of the binary formats have one of these bytes in their headers. A text does not, though it
# may begin with the letters of a signature.
_BINARY: Final = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)])

_PLAIN_TEXT: Final = "text/plain"

# Structured suffixes of containers (RFC 6839, RFC 8081 and the registry of suffixes).
_CONTAINER_SUFFIXES: Final = {
    "+zip": "application/zip",
    "+gzip": "application/gzip",
    "+zstd": "application/zstd",
    "+sqlite3": "application/vnd.sqlite3",
}


def _formats_by_type() -> Mapping[str, tuple[Format, ...]]:
    known: dict[str, list[Format]] = defaultdict(list)
    for each in FORMATS:
        for name in dict.fromkeys(map(canonical, each.types)):
            known[name].append(each)
    return {name: tuple(formats) for name, formats in known.items()}


_FORMATS_OF: Final = _formats_by_type()
_LENIENT: Final = frozenset(map(canonical, LENIENT))
_TEXT_TOO: Final = frozenset(map(canonical, TEXT_TOO))
_VENDOR_TREE: Final = "/vnd."
_TEXT_TYPES: Final = frozenset(map(canonical, TEXT_TYPES))


def detect_types(first_bytes: bytes) -> Sequence[str]:
    """Returns the media types that match these first bytes, the likeliest first.

    Empty for text and for an unknown signature. Never raises.
    """
    shown = _shown((each for each in FORMATS if not each.weak), first_bytes)
    if not shown:
        return () if is_text(first_bytes) else types_of(first_bytes)
    names = [name for each in shown for name in each.types]
    plainest = plainest_type(first_bytes)
    return tuple(dict.fromkeys([plainest, *names] if plainest else names))


def compare_type(declared: str, first_bytes: bytes) -> TypeEvidence:
    """Compares a declared type with the first bytes of a file (4 KiB suffice). Never raises.

    `agrees` is None if there is no evidence: an empty file, a type without a signature, or a type
    that only puremagic's table has and whose signature is missing.
    """
    if not first_bytes:
        # An empty file is a valid text; for any other type it is no evidence.
        return TypeEvidence(True if _is_text_type(canonical(declared)) else None, "")
    detected = detect_types(first_bytes)
    found = detected[0] if detected else ""
    agrees = _agrees(canonical(declared), first_bytes, detected)
    if agrees is False and not found and is_text(first_bytes):
        found = _PLAIN_TEXT
    return TypeEvidence(agrees, found)


def has_signature(declared: str) -> bool:
    """Whether files of this type must show a signature."""
    name = canonical(declared)
    return bool(_formats_of(name)) and name not in _LENIENT and not _is_text_type(name)


def _agrees(declared: str, first_bytes: bytes, detected: Sequence[str]) -> bool | None:
    if declared == OPAQUE:
        return None
    formats = _formats_of(declared)
    if _shown(formats, first_bytes):
        return True
    if _is_text_type(declared):
        return _agrees_as_text(declared, first_bytes, detected)
    if formats and declared not in _LENIENT:
        return None if declared in _TEXT_TOO and is_text(first_bytes) else False
    return True if declared in map(canonical, detected) else None


def _agrees_as_text(declared: str, first_bytes: bytes, detected: Sequence[str]) -> bool | None:
    """Whether a text may be declared as this type.

    Uploaders guess types from extensions, and some vendors' text types (`.dot`, `.ts`, `.a`,
    `.pkg`) share their extension with binary files.
    """
    if is_text(first_bytes) and not detected:
        return True
    return None if _VENDOR_TREE in declared else False


def _formats_of(name: str) -> tuple[Format, ...]:
    suffix = name[name.rfind("+") :] if "+" in name else ""
    return _FORMATS_OF.get(name) or _FORMATS_OF.get(_CONTAINER_SUFFIXES.get(suffix, ""), ())


def _shown(formats: Iterable[Format], first_bytes: bytes) -> list[Format]:
    """Returns the formats whose signature matches."""
    binary = holds_any(_BINARY, first_bytes)
    return [each for each in formats if (binary or each.text) and each.matches(first_bytes)]


def _is_text_type(name: str) -> bool:
    """Whether the type is text (RFC 2046, 4.1; RFC 6838, 4.2.8), except `text/rtf`."""
    if name in _TEXT_TYPES or name.endswith(TEXT_SUFFIXES):
        return True
    return name.startswith("text/") and name not in _FORMATS_OF
