"""Classes of Unicode code points, as fixed ranges.

`str.isprintable` and `unicodedata.category` answer by the Unicode version of the interpreter: emoji
of Unicode 15 are unassigned on CPython 3.11 and printable on 3.12. These classes do not change:
controls, surrogates, private use and non-characters are fixed by the stability policy
(https://www.unicode.org/policies/stability_policy.html), the others are copied from Unicode 17.0
with the code points that it reserves for later characters of the same kind.

Each constant is the inside of a character class of a regular expression.
"""

from __future__ import annotations

import re
from typing import Final

# General categories Cc and Cs.
CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
SURROGATE: Final = r"\ud800-\udfff"

# Categories Zl and Zp.
LINE_SEPARATOR: Final = r"\u2028\u2029"

# Category Co, and the 66 non-characters (The Unicode Standard, section 23.7). Planes 15 and 16
# contain nothing else.
PRIVATE_USE: Final = r"\ue000-\uf8ff\U000f0000-\U0010ffff"
NON_CHARACTER: Final = r"\ufdd0-\ufdef" + "".join(
    f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(15)
)

# Invisible format characters (category Cf and DerivedCoreProperties.txt,
# Default_Ignorable_Code_Point), with the code points reserved for them: soft hyphen, directional
# marks, embeddings, overrides and isolates, zero width space, word joiner, invisible operators,
# byte order mark, shorthand and musical format controls, tags. Also the interlinear annotation
# controls, which Unicode keeps out of plain text (section 23.8). Not the joiners U+200C and U+200D.
INVISIBLE_FORMAT: Final = (
    r"\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)

# The invisible code points that text needs beside visible ones: joiners, variation selectors,
# fillers of Hangul, vowels of Khmer, combining grapheme joiner (all Default_Ignorable_Code_Point).
INVISIBLE_OTHER: Final = (
    r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\u3164\ufe00-\ufe0f\uffa0"
    r"\U000e0100-\U000e01ef"
)

# PropList.txt, White_Space, beyond U+0020.
_SPACE_BEYOND_ASCII: Final = r"\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
WHITE_SPACE: Final = r"\t-\r " + _SPACE_BEYOND_ASCII

_CONTROL: Final = re.compile(f"[{CONTROL}{SURROGATE}]")
_UNPRINTABLE: Final = re.compile(
    f"[{CONTROL}{SURROGATE}{LINE_SEPARATOR}{PRIVATE_USE}{NON_CHARACTER}{INVISIBLE_FORMAT}"
    f"{_SPACE_BEYOND_ASCII}]"
)


def has_control(text: str) -> bool:
    """Whether the text has a control character, or a surrogate that UTF-8 cannot encode."""
    return _CONTROL.search(text) is not None


def is_printable(text: str) -> bool:
    """Whether a log line or a terminal can show the text unchanged.

    Excludes control, private-use and invisible format characters, and all white space but the plain
    space.
    """
    return _UNPRINTABLE.search(text) is None
