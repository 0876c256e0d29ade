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
    """Builds the header for a file: an ASCII name for old readers, the exact one in `filename*`.

    For any filename, it has no control character, and no quote or backslash but the two quotes
    around the ASCII name.
    """
    ascii_name = _NOT_QUOTABLE.sub("_", filename)
    exact = quote(filename, safe=_ATTR_CHARS)
    return f"{disposition.value}; filename=\"{ascii_name}\"; filename*=UTF-8''{exact}"
