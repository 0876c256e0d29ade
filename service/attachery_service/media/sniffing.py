"""What the first bytes of a file say of its type: a check of consistency, never a proof of safety.

Two tables. Our own (`signatures`, `brands`) lists the types that must show a signature, each with
every form that honest files have. The table of puremagic has more formats, but one signature under
many names, and signatures of two bytes. So it only adds: it can confirm a declared type and name a
detected one, and never fails a file.
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

# Files of the binary formats hold one of these within their headers. A text does not, and may begin
# with the letters of a signature.
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
    """Media types that files with these first bytes have, the likeliest first; empty for text and
    for bytes without a known signature. Never raises."""
    shown = _shown((each for each in FORMATS if not each.weak), first_bytes)
    if not shown:
        return () if is_text(first_bytes) else types_of(first_bytes)
    names = [name for each in shown for name in each.types]
    plainest = plainest_type(first_bytes)
    return tuple(dict.fromkeys([plainest, *names] if plainest else names))


def compare_type(declared: str, first_bytes: bytes) -> TypeEvidence:
    """What the first bytes (4 KiB suffice) say of a file declared as this type. Never raises.

    `agrees` is None where nothing can be told: no bytes, a type without a signature, or one that
    only puremagic knows and that is not there.
    """
    if not first_bytes:
        # An empty file is a text; of anything else it shows nothing.
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
    """Uploaders guess types from endings, and those of vendors' text types (`.dot`, `.ts`, `.a`,
    `.pkg`) are those of binary files as well."""
    if is_text(first_bytes) and not detected:
        return True
    return None if _VENDOR_TREE in declared else False


def _formats_of(name: str) -> tuple[Format, ...]:
    suffix = name[name.rfind("+") :] if "+" in name else ""
    return _FORMATS_OF.get(name) or _FORMATS_OF.get(_CONTAINER_SUFFIXES.get(suffix, ""), ())


def _shown(formats: Iterable[Format], first_bytes: bytes) -> list[Format]:
    """Those of the formats whose signature is there."""
    binary = holds_any(_BINARY, first_bytes)
    return [each for each in formats if (binary or each.text) and each.matches(first_bytes)]


def _is_text_type(name: str) -> bool:
    """By RFC 2046, section 4.1, and RFC 6838, section 4.2.8; `text/rtf` has a signature."""
    if name in _TEXT_TYPES or name.endswith(TEXT_SUFFIXES):
        return True
    return name.startswith("text/") and name not in _FORMATS_OF
