"""The header that names a download, for any filename there can be."""

from __future__ import annotations

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.declarations import Disposition
from attachery_service.domain.filenames import normalize_filename
from attachery_service.domain.validation import RuleViolation

_HEADER = re.compile(
    r"attachment; filename=\"([^\"\\]*)\"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)"
)


def accepted(name: str) -> bool:
    try:
        normalize_filename(name)
    except RuleViolation:
        return False
    return True


@given(st.text(min_size=1, max_size=80))
def test_it_parses_back_and_cannot_be_terminated(name: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    header = content_disposition(Disposition.ATTACHMENT, name)
    match = _HEADER.fullmatch(header)
    assert match is not None
    assert unquote(match[2], errors="strict") == name
    assert header.isascii()
    assert header.isprintable()


@given(st.text(min_size=1, max_size=80).filter(accepted))
def test_an_accepted_name_is_unchanged(name: str) -> None:
    assert normalize_filename(normalize_filename(name)) == normalize_filename(name)
