"""The rule for filenames, which does not depend on the interpreter's Unicode version.

One exception: a script that Unicode added after the interpreter's version is not composed by
`unicodedata.normalize`. The normal form of every code point of the interpreter's version is stable
(https://www.unicode.org/policies/stability_policy.html, "Normalization Stability").
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from attachery_service.domain import code_points
from attachery_service.domain.validation import RuleViolation

MAX_CODE_POINTS: Final = 255

# A character in normal form C replaces at most four code points, so a longer name without invisible
# characters always exceeds 255. Normalization is quadratic in the number of consecutive combining
# marks: 7 ms for 1,024 code points, 1.2 s for 16,384 (CPython 3.11).
MAX_SENT_CODE_POINTS: Final = 1024

# The flag of a region is a black flag, the region's code in tag characters, and the end of the tag:
# the only valid emoji tag sequences (UTS #51, section "Flag Emoji Tag Sequences"). Other tag
# characters can carry hidden text.
_FLAG: Final = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"

_FLAG_OR_INVISIBLE: Final = re.compile(f"({_FLAG})|[{code_points.INVISIBLE_FORMAT}]+")
_REFUSED: Final = re.compile(
    f"[{code_points.CONTROL}{code_points.SURROGATE}{code_points.LINE_SEPARATOR}"
    f"{code_points.PRIVATE_USE}{code_points.NON_CHARACTER}]"
)
_OUTER_WHITE_SPACE: Final = re.compile(
    f"^[{code_points.WHITE_SPACE}]|[{code_points.WHITE_SPACE}]\\Z"
)
_VISIBLE: Final = re.compile(f"[^{code_points.INVISIBLE_OTHER}]")


def normalize_filename(sent: str) -> str:
    """Returns the name without invisible format characters, in normal form C: 1 to 255 code points.

    Keeps joiners (U+200C, U+200D) and the flags of regions. Raises RuleViolation for a name that is
    empty, too long or a path, begins or ends with white space, or has a control, a line or
    paragraph separator, a surrogate, a private-use code point or a non-character.
    """
    if len(sent) > MAX_SENT_CODE_POINTS:
        raise RuleViolation(f"must be at most {MAX_SENT_CODE_POINTS} code points as sent")
    name = sent if sent.isascii() else _visible_form(sent)
    if not 1 <= len(name) <= MAX_CODE_POINTS:
        raise RuleViolation(f"must be 1 to {MAX_CODE_POINTS} code points in normal form C")
    _refuse_unsafe(name)
    return name


def _visible_form(sent: str) -> str:
    """Removes invisible characters first: that may put a mark beside the letter it modifies."""
    return unicodedata.normalize("NFC", _FLAG_OR_INVISIBLE.sub(r"\1", sent))


def _refuse_unsafe(name: str) -> None:
    if name in (".", "..") or "/" in name or "\\" in name:
        raise RuleViolation("must be a name, not a path")
    if _OUTER_WHITE_SPACE.search(name):
        raise RuleViolation("must not begin or end with white space")
    if _REFUSED.search(name):
        raise RuleViolation(
            "must not hold control, line or paragraph separator or private-use characters"
        )
    if not _VISIBLE.search(name):
        raise RuleViolation("must hold a visible character")
