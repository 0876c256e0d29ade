"""The rule for filenames, over all code points, independent of the interpreter's version."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attachery_client.testing import filenames as fake
from attachery_service.domain import code_points
from attachery_service.domain.content_disposition import content_disposition
from attachery_service.domain.declarations import Disposition
from attachery_service.domain.filenames import (
    MAX_CODE_POINTS,
    normalize_filename,
)
from attachery_service.domain.validation import RuleViolation

# Visible characters of a category, or characters with an effect on visible ones.
KEPT_FORMAT = {*"\u200c\u200d", *map(chr, range(0x600, 0x606)), *map(chr, range(0x13430, 0x13440)),
               *"\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}  # fmt: skip

# Planes 0 and 1, the planes' ends, and the specials of plane 14.
CHARACTERS = [
    chr(code)
    for code in range(0x110000)
    if code < 0x20000 or code & 0xFFFF in (0, 0x8000, *range(0xFFF0, 0x10000)) or code >> 12 == 0xE0
]

names = st.text(st.characters(codec="utf-8"), max_size=300)


def normalized(name: str) -> str | None:
    try:
        return normalize_filename(name)
    except RuleViolation:
        return None


def test_every_code_point_has_one_fate() -> None:
    """Refused, removed or kept by a category that no version of Unicode changes."""
    for character in CHARACTERS:
        category = unicodedata.category(character)
        stored = normalized(f"a{character}b")
        if category in ("Cc", "Cs", "Co", "Zl", "Zp") or character in "/\\":
            assert stored is None, ascii(character)
        elif category == "Cf":
            kept = f"a{character}b" if character in KEPT_FORMAT else "ab"
            assert stored == kept, ascii(character)
        elif category != "Cn":
            assert stored == unicodedata.normalize("NFC", f"a{character}b"), ascii(character)


def test_non_characters_are_refused_and_reserved_code_points_kept() -> None:
    unassigned = [c for c in CHARACTERS if unicodedata.category(c) == "Cn"]
    for character in unassigned:
        code = ord(character)
        if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
            assert normalized(f"a{character}b") is None
        else:
            assert normalized(f"a{character}b") in (f"a{character}b", "ab")
    # Reserved in Unicode 17.0, between emoji and after the last plane with characters.
    for kept in ("a\U0001faffb", "a\U000e2000b", "a\U000dfffdb"):
        assert normalized(kept) == kept


def test_white_space_equals_the_interpreters() -> None:
    for character in filter(str.isspace, CHARACTERS):
        assert normalized(f"{character}a") is None
        assert normalized(f"a{character}") is None


def test_printable_text_is_the_interpreters_and_unassigned_code_points() -> None:
    for character in CHARACTERS:
        if unicodedata.category(character) not in ("Cn", "Cf"):
            assert code_points.is_printable(character) == character.isprintable()
    assert code_points.is_printable("\U0001fae9")
    assert not code_points.is_printable("\u202e")


@given(names)
@example("\u1100\u1161" * 300)
def test_an_accepted_name_is_short_normal_and_stable(name: str) -> None:
    stored = normalized(name)
    if stored is not None:
        assert normalize_filename(stored) == stored
        assert 1 <= len(stored) <= MAX_CODE_POINTS
        assert unicodedata.is_normalized("NFC", stored)


@given(names)
def test_the_fake_stores_the_same_name_or_refuses_it_too(name: str) -> None:
    assert fake.normalize_filename(name) == normalized(name)


def test_the_fake_judges_each_code_point_alike() -> None:
    for character in CHARACTERS:
        for name in (character, f"a{character}b"):
            assert fake.normalize_filename(name) == normalized(name), ascii(character)


@pytest.mark.parametrize("shown", Disposition)
@given(name=st.text(st.characters(codec="utf-8"), min_size=1))
def test_the_fake_writes_the_same_header(shown: Disposition, name: str) -> None:
    assert fake.content_disposition(shown.value, name) == content_disposition(shown, name)
