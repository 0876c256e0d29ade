"""The service's rule for names of files, and the header it makes of one.

A copy: the client imports nothing of the service. A test of Attachery compares the two.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote

MAX_CODE_POINTS: Final = 255
_MAX_SENT_CODE_POINTS: Final = 1024

_FLAG: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_REMOVED: Final = re.compile(
    f"({_FLAG})|[\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff"
    r"\U000e01f0-\U000e0fff]+"
)
_WHITE: Final = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NON_CHARACTERS: Final = "".join(f"\\U{n:04x}fffe\\U{n:04x}ffff" for n in range(15))
_REFUSED: Final = re.compile(
    rf"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ue000-\uf8ff\U000f0000-\U0010ffff"
    rf"\ufdd0-\ufdef{_NON_CHARACTERS}/\\]|^[{_WHITE}]|[{_WHITE}]\Z|^\.\.?\Z"
)
_VISIBLE: Final = re.compile(
    r"[^\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\u3164\ufe00-\ufe0f\uffa0"
    r"\U000e0100-\U000e01ef]"
)


def normalize_filename(sent: str) -> str | None:
    """The name as the service stores it; None if the service refuses it."""
    if len(sent) > _MAX_SENT_CODE_POINTS:
        return None
    name = unicodedata.normalize("NFC", _REMOVED.sub(r"\1", sent))
    fine = len(name) <= MAX_CODE_POINTS and _VISIBLE.search(name) and not _REFUSED.search(name)
    return name if fine else None


def content_disposition(shown: str, name: str) -> str:
    """`shown`: `inline` or `attachment`."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"{shown}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='!#$&+^`|')}"
