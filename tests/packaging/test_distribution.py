"""What the wheel and the source distribution hold, and what they say of themselves."""

from __future__ import annotations

import re
import tarfile
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from support.environments import ROOT, uv

pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging")]

SOURCE_ROOTS = [ROOT / "service", ROOT / "generated"]


@pytest.fixture
def in_wheel(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture
def in_sdist(dist: Path) -> set[str]:
    """Paths below its one top folder."""
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        return {name.partition("/")[2] for name in opened.getnames()}


@pytest.fixture
def metadata(wheel: Path, in_wheel: set[str]) -> Message:
    (path,) = (name for name in in_wheel if name.endswith(".dist-info/METADATA"))
    with ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(path).decode())


@pytest.fixture
def project() -> dict[str, Any]:
    declared: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return declared


def test_the_wheel_is_the_source_roots_and_nothing_else(in_wheel: set[str]) -> None:
    modules = {name for name in in_wheel if ".dist-info/" not in name}

    assert modules == {
        str(path.relative_to(root))
        for root in SOURCE_ROOTS
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } - {"attachery.binpb"}  # for other languages
    assert {name.partition("/")[0] for name in modules} == {
        "attachery",
        "attachery_client",
        "attachery_service",
    }


def test_the_wheel_has_what_is_not_python(in_wheel: set[str]) -> None:
    assert {
        "attachery/v1/py.typed",
        "attachery/v1/upload_sessions_pb2.pyi",
        "attachery_client/py.typed",
        "attachery_service/py.typed",
        "attachery_service/postgres/migrations/0001_upload_sessions.sql",
        "attachery_service/postgres/queries/start_upload_session.sql",
    } <= in_wheel
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in in_wheel)


def test_others_may_add_to_the_namespace_of_the_contract(in_wheel: set[str]) -> None:
    assert not {"attachery/__init__.py", "attachery/v1/__init__.py"} & in_wheel


def test_the_source_distribution_has_what_a_build_needs(in_sdist: set[str]) -> None:
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= in_sdist
    assert "protos/attachery/v1/upload_sessions.proto" in in_sdist
    assert {name.partition("/")[0] for name in in_sdist if "/" in name} == {
        "examples",
        "generated",
        "protos",
        "service",
    }


def test_the_base_install_needs_three_packages(metadata: Message) -> None:
    base = [text for text in _requirements(metadata) if "extra ==" not in text]

    assert sorted(_name(text) for text in base) == [
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
    ]


def test_everything_needed_has_both_bounds(metadata: Message) -> None:
    outside = [text for text in _requirements(metadata) if _name(text) != "attachery"]

    assert [text for text in outside if not re.search(r"<[^;]*>=|>=[^;]*<", text)] == []


def test_metadata_is_that_of_the_project(metadata: Message, project: dict[str, Any]) -> None:
    assert metadata["Name"] == "attachery"
    assert metadata["Version"] == project["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("Provides-Extra") == sorted(project["optional-dependencies"])
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])


def test_the_lock_is_up_to_date() -> None:
    uv("lock", "--check", "--project", ROOT)


def _requirements(metadata: Message) -> list[str]:
    return metadata.get_all("Requires-Dist") or []


def _name(requirement: str) -> str:
    found = re.match(r"[\w-]+", requirement)
    assert found
    return found[0]
