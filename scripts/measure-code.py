#!/usr/bin/env python3
"""Measures the size of the code and the style of its prose.

    scripts/measure-code.py [--check] [ROOT ...]        # default: service

Prints the sizes of files and functions, and how many idioms each 1,000 words of prose contain: in
docstrings and comments of Python, in comments of SQL, and in whole documents and protos. An idiom
is a pronoun in place of a noun: "nobody waits" instead of "no caller waits". `--check` prints only
the prose above the limit, with the lines of its idioms, and exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# Idioms per 1,000 words; well-written projects of this kind have 0 to 1.8.
LIMIT: Final = 3.0
# Fewer words than these say nothing about a page's style.
_FEWEST_WORDS: Final = 100

_IDIOM: Final = re.compile(
    r"\b(who|whoever|whom|whose|nobody|somebody|anybody|everybody|what|whatever)\b", re.IGNORECASE
)
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z'-]+")
_SQL_COMMENT: Final = re.compile(r"--.*")
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_MANY_PARAMETERS: Final = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Prose:
    """The number of words and idioms, and the lines that contain idioms, with their places."""

    words: int = 0
    idioms: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, text: str, path: Path, first_line: int = 1) -> None:
        self.words += len(_WORD.findall(text))
        for number, line in enumerate(text.splitlines(), start=first_line):
            if found := _IDIOM.findall(line):
                self.idioms += len(found)
                self.lines.append(f"{path}:{number}: {line.strip()}")

    @property
    def rate(self) -> float:
        """Idioms per 1,000 words."""
        return 1_000 * self.idioms / max(1, self.words)


@dataclass(slots=True)
class Code:
    """Sizes of files and functions, in lines with their places, and the prose in them."""

    files: list[tuple[int, str]] = field(default_factory=list)
    functions: list[tuple[int, str]] = field(default_factory=list)
    many_parameters: int = 0
    callable_classes: int = 0
    documented: int = 0
    public: int = 0
    prose: Prose = field(default_factory=Prose)

    def add(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        self.files.append((text.count("\n"), str(path)))
        for first_line, prose in _prose_of(text, tree):
            self.prose.add(prose, path, first_line)
        for node in ast.walk(tree):
            if isinstance(node, _FUNCTIONS):
                self._add_function(node, path)
            elif isinstance(node, ast.ClassDef):
                self.callable_classes += any(
                    isinstance(each, _FUNCTIONS) and each.name == "__call__" for each in node.body
                )

    def _add_function(self, node: Function, path: Path) -> None:
        self.functions.append((_lines_of(node), f"{path}:{node.lineno} {node.name}"))
        self.many_parameters += _parameters_of(node) >= _MANY_PARAMETERS
        if not node.name.startswith("_"):
            self.public += 1
            self.documented += ast.get_docstring(node) is not None


def _prose_of(text: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields docstrings and comments, each with the number of its first line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.body[0].lineno if node.body else 1, ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#! ")


def _lines_of(node: Function) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def _parameters_of(node: Function) -> int:
    """Parameters of a function, without `self`."""
    given = node.args
    named = [*given.posonlyargs, *given.args]
    count = len(named) + len(given.kwonlyargs) + bool(given.vararg) + bool(given.kwarg)
    return count - bool(named and named[0].arg in {"self", "cls"})


def _percentile(sizes: Sequence[tuple[int, str]], share: float) -> int:
    ordered = sorted(size for size, _ in sizes)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _sizes(name: str, sizes: Sequence[tuple[int, str]]) -> str:
    middle = statistics.median(size for size, _ in sizes)
    longest, place = max(sizes)
    return (
        f"{name:10} {len(sizes):5}; lines: median {middle:.0f}, p90 {_percentile(sizes, 0.9)},"
        f" p99 {_percentile(sizes, 0.99)}, longest {longest} ({place})"
    )


def _pages() -> Iterator[tuple[str, Prose]]:
    """Yields the prose of each document and proto of the project."""
    own_protos = sorted(Path("protos/attachery").rglob("*.proto"))
    for path in [*sorted(Path().glob("*.md")), *sorted(Path("docs").rglob("*.md")), *own_protos]:
        prose = Prose()
        prose.add(path.read_text(encoding="utf-8"), path)
        if prose.words >= _FEWEST_WORDS:
            yield str(path), prose


def _comments_of_sql(roots: Sequence[str]) -> Prose:
    prose = Prose()
    for root in roots:
        for path in sorted(Path(root).rglob("*.sql")):
            # Applied migrations never change.
            if path.parent.name != "migrations":
                text = path.read_text(encoding="utf-8")
                for number, line in enumerate(text.splitlines(), start=1):
                    prose.add("".join(_SQL_COMMENT.findall(line)), path, number)
    return prose


def _measured(root: str) -> Code:
    code = Code()
    for path in sorted(Path(root).rglob("*.py")):
        if "_pb2" not in path.name:
            code.add(path)
    return code


def _report_sizes(root: str, code: Code) -> None:
    total = sum(lines for lines, _ in code.files)
    print(f"{root}: {total} lines")
    print("  " + _sizes("files", code.files))
    print("  " + _sizes("functions", code.functions))
    print(
        f"  six parameters or more: {code.many_parameters}; classes with __call__:"
        f" {code.callable_classes}; public functions with a docstring:"
        f" {100 * code.documented // max(1, code.public)} %"
    )


def _report_rates(found: Sequence[tuple[str, Prose]]) -> None:
    print(f"\nidioms per 1,000 words (at most {LIMIT:.0f})")
    for name, prose in found:
        print(f"  {name:44} {prose.rate:5.1f}{'  TOO MANY' if prose.rate > LIMIT else ''}")


def _report_excess(found: Sequence[tuple[str, Prose]]) -> bool:
    """Prints the prose above the limit; returns whether there is any."""
    excessive = [(name, prose) for name, prose in found if prose.rate > LIMIT]
    for name, prose in excessive:
        print(f"{name}: {prose.rate:.1f} idioms per 1,000 words, at most {LIMIT:.0f}")
        print("\n".join(f"  {line}" for line in prose.lines))
    return bool(excessive)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 above the limit")
    parser.add_argument("roots", nargs="*", metavar="ROOT")
    options = parser.parse_args()
    roots = options.roots or ["service"]
    measured = [(root, _measured(root)) for root in roots]
    found = [
        *((f"Python in {root}", code.prose) for root, code in measured),
        ("SQL", _comments_of_sql(roots)),
        *_pages(),
    ]
    if options.check:
        return int(_report_excess(found))
    for root, code in measured:
        _report_sizes(root, code)
    _report_rates(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
