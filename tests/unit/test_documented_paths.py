"""The pages name files, functions and packages that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "service" / "attachery_service"
# The changelog names files of earlier releases.
PAGES = [
    *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),
    *(ROOT / "docs").rglob("*.md"),
]
ARCHITECTURE = ROOT / "docs" / "architecture.md"

# Names in backquotes: `folder/`, `folder/file.py`, `folder/file.py:Class.method`.
_PATH = re.compile(r"`([\w./-]*/[\w./-]*?)(?::([\w.]+))?`")
_SUFFIXES = {".md", ".proto", ".py", ".sh", ".sql", ".toml", ".yml", ".yaml"}
# A line of the tree: its depth, and the folder.
_BRANCH = re.compile(r"^((?:│   )*)[├└]── (\w+)/", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_of_a_page_exist(page: Path) -> None:
    assert [str(path) for path, _ in references(page) if file_of(path) is None] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_functions_and_classes_of_a_page_exist(page: Path) -> None:
    named = [(path, name) for path, name in references(page) if name]
    missing = [
        f"{path}:{name}"
        for path, name in named
        if (file := file_of(path)) and name not in definitions(file)
    ]
    assert missing == []


def test_the_tree_has_every_package_of_the_service() -> None:
    packages = {
        str(found.parent.relative_to(SERVICE))
        for found in SERVICE.rglob("__init__.py")
        if found.parent != SERVICE
    }
    assert drawn() == packages


def references(page: Path) -> list[tuple[str, str]]:
    """The paths in backquotes, each with the name after its colon or an empty text."""
    found = _PATH.findall(page.read_text(encoding="utf-8"))
    return [(path, name) for path, name in found if is_path(path)]


def is_path(text: str) -> bool:
    """True for a file of this repository's kinds, and for a folder with `/` at its end."""
    return not text.startswith("/") and (text.endswith("/") or Path(text).suffix in _SUFFIXES)


def file_of(path: str) -> Path | None:
    places = (ROOT / path, SERVICE / path)
    return next((place for place in places if place.exists()), None)


def definitions(file: Path) -> set[str]:
    """The functions and classes at the top of a module, and its methods as `Class.method`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {name for node in tree.body for name in names_of(node)}


def names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            yield from (f"{node.name}.{name}" for name in names_of(member))


def drawn() -> set[str]:
    """The packages in the tree of docs/architecture.md."""
    folders: list[str] = []
    found = set()
    for indentation, name in _BRANCH.findall(ARCHITECTURE.read_text(encoding="utf-8")):
        folders[len(indentation) // 4 :] = [name]
        found.add("/".join(folders))
    return found
