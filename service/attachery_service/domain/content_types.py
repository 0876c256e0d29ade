"""Media types (RFC 9110, section 8.3.1)."""

from __future__ import annotations

import re

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*"'
# White space is permitted in one place only; otherwise a rejection would take exponential time.
_PARAMETER = rf"[ \t]*;(?:[ \t]*{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))?"
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:{_PARAMETER})*(?:(?<=;)[ \t]*)?")

# The types that a browser shows without executing their content.
_SAFE_INLINE = frozenset({
    "image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp",
    "audio/aac", "audio/flac", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm",
    "video/mp4", "video/ogg", "video/webm",
    "text/plain",
})  # fmt: skip

# Synonyms that libraries and browsers use for one type.
_SYNONYMS = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "application/gzip-compressed": "application/gzip",
    "application/zip-compressed": "application/zip",
    "text/xml": "application/xml",
    "text/javascript": "application/javascript",
}

# Declares nothing about the content.
OPAQUE = "application/octet-stream"


def is_media_type(text: str) -> bool:
    """Whether `text` is `type/subtype` with optional parameters."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def essence(content_type: str) -> str:
    """`type/subtype` in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def same(one: str, other: str) -> bool:
    """Whether two spellings are the same type; object storage may fold case and white space."""
    return _folded(one) == _folded(other)


def canonical(content_type: str) -> str:
    """Returns one name for all synonyms of a type: `type/subtype` in lower case, without `x-`."""
    family, _, subtype = essence(content_type).partition("/")
    kind = f"{family}/{subtype.removeprefix('x-')}"
    return _SYNONYMS.get(kind, kind)


def safe_to_serve(content_type: str, *, inline: bool) -> str:
    """Returns the type to serve bytes with, so that no browser executes them.

    RFC 9110's octet-stream, unless shown inline and of a type that cannot contain code.
    """
    kind = essence(content_type)
    if inline and kind in _SAFE_INLINE:
        return "text/plain; charset=utf-8" if kind == "text/plain" else kind
    return OPAQUE


def _folded(content_type: str) -> str:
    kind, _, parameters = content_type.partition(";")
    return f"{kind.strip().lower()};{''.join(parameters.split())}"
