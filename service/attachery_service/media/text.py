"""Detects text, in the encodings that files use."""

from __future__ import annotations

import codecs
import re
from typing import Final

# Bytes that occur in no text in an 8-bit encoding. Tab to carriage return are white space; SO, SI
# and ESC switch the character set (ISO 2022); SUB ends files of CP/M and DOS; FS to US separate
# records (JSON text sequences, EDI, MARC); BEL and BS occur in terminal output.
_NEVER_IN_TEXT: Final = bytes([*range(0x07), *range(0x10, 0x1A)])
_NEVER_IN_UNICODE: Final = re.compile(r"[\x00-\x06\x10-\x19\ufffe\uffff]")

# The longest first: the mark of UTF-32-LE begins with that of UTF-16-LE.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_EXAMINED_CHARACTERS: Final = 64
_WIDTHS: Final = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}


def holds_any(wanted: bytes, content: bytes) -> bool:
    """Whether one of the bytes is in the content: 5 us for 4 KiB, a regular expression takes 40."""
    return len(content.translate(None, wanted)) != len(content)


def is_text(first_bytes: bytes) -> bool:
    """Whether the bytes can be the beginning of a text; the last character may be cut off.

    Accepts UTF-8, UTF-16 and UTF-32, and every 8-bit and multi-byte encoding that keeps ASCII
    (Latin-1, Windows code pages, Shift-JIS, GBK, ISO 2022): in those any byte of 0x80 or above may
    stand for a letter. Empty input is text.
    """
    for mark, encoding in _MARKS:
        if first_bytes.startswith(mark) and _decodes(first_bytes[len(mark) :], encoding):
            return True
    if not holds_any(_NEVER_IN_TEXT, first_bytes):
        return True
    return any(_is_unmarked(first_bytes, encoding) for encoding in _UNMARKED)


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(content)
    except UnicodeDecodeError:
        return False
    return _NEVER_IN_UNICODE.search(text) is None


def _is_unmarked(content: bytes, encoding: str) -> bool:
    """Whether the bytes are text in a wide encoding without a byte order mark.

    Most of the first characters must be ASCII, as in source code, tables and markup: otherwise any
    bytes of even length would pass.
    """
    width = _WIDTHS[encoding]
    start = content[: _EXAMINED_CHARACTERS * width]
    low, high = (0, 1) if encoding.endswith("le") else (width - 1, width - 2)
    ascii_characters = sum(map(_is_ascii, start[low::width], start[high::width]))
    characters = len(start) // width
    whole = len(content) % width == 0
    return whole and 2 * ascii_characters > characters > 0 and _decodes(content, encoding)


def _is_ascii(low: int, high: int) -> bool:
    return high == 0 and chr(low).isascii()
