"""docs/requirements.md lists exactly the requirements that tests are marked with."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
LIST = TESTS.parent / "docs" / "requirements.md"


def marked() -> set[str]:
    """The codes in all requirement markers."""
    markers = re.compile(r"^(?:@|pytestmark = )pytest\.mark\.requirement\(([^)]+)\)", re.MULTILINE)
    sources = (file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    return {code for text in sources for codes in markers.findall(text) for code in codes_in(codes)}


def codes_in(arguments: str) -> list[str]:
    return re.findall(r'"(\w+)"', arguments)


def listed() -> list[str]:
    rows = LIST.read_text(encoding="utf-8").splitlines()
    return [row.split("|")[1].strip() for row in rows if re.match(r"\| [A-Z]\d+ \|", row)]


def test_every_listed_requirement_has_a_test() -> None:
    assert set(listed()) - marked() == set()


def test_every_marker_names_a_listed_requirement() -> None:
    assert marked() - set(listed()) == set()


def test_each_requirement_is_listed_once() -> None:
    assert len(listed()) == len(set(listed()))
