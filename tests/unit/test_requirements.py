"""tests/requirements.toml lists exactly the requirements that tests are marked with."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "generate-compatibility.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_every_requirement_has_a_test_and_every_marker_a_requirement(
    script: dict[str, Any],
) -> None:
    listed = [code for api in script["apis"]() for code in script["requirements_of"](api)]
    assert list(script["problems"](listed, script["proofs"]())) == []


def test_a_difference_between_codes_and_markers_is_explained(script: dict[str, Any]) -> None:
    found = [script["Proof"]("N1", "tests/test_a.py", "test_b")]
    assert list(script["problems"](["N1"], found)) == []
    assert list(script["problems"](["N1", "N2", "N1"], [found[0]._replace(code="N3")])) == [
        "tests/requirements.toml lists N1 twice",
        'N1 has no test: give one the marker @pytest.mark.requirement("N1")',
        'N2 has no test: give one the marker @pytest.mark.requirement("N2")',
        "tests/test_a.py: test_b names N3, which is not listed",
    ]


def test_markers_are_found_on_functions_classes_and_modules(
    script: dict[str, Any], tmp_path: Path
) -> None:
    source = """
pytestmark = [pytest.mark.slow, pytest.mark.requirement("N1")]

@pytest.mark.requirement("N2", "N3")
async def test_a(): ...

@pytest.mark.requirement("N4")
class TestB:
    def test_c(self): ...
    def helper(self): ...

def test_d(): ...
"""
    assert list(script["_marked"](script["ast"].parse(source))) == [
        ("N1", "test_a"),
        ("N2", "test_a"),
        ("N3", "test_a"),
        ("N1", "TestB::test_c"),
        ("N4", "TestB::test_c"),
        ("N1", "test_d"),
    ]
