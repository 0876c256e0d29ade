"""The Content-Disposition header (RFC 6266)."""

from __future__ import annotations

import re
from urllib.parse import quote

from attachery_service.domain.declarations import Disposition

# attr-char of RFC 5987 that `quote` would escape.
_ATTR_CHARS = "!#$&+^`|"

# Neither plain ASCII nor safe between quotes.
_NOT_QUOTABLE = re.compile(r'[^ -~]|["\\%]')


def content_disposition(disposition: Disposition, filename: str) -> str:
    """The header for a file: its name in ASCII for old readers, exact in `filename*` for the rest.

    Holds no control character, and no quote or backslash but the two that enclose the ASCII name,
    for any filename.
    """
    ascii_name = _NOT_QUOTABLE.sub("_", filename)
    exact = quote(filename, safe=_ATTR_CHARS)
    return f"{disposition.value}; filename=\"{ascii_name}\"; filename*=UTF-8''{exact}"
