"""Python environments for tests, created by uv from its cache or from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = f"{ROOT / 'service'}{os.pathsep}{ROOT / 'generated'}"
OLDEST_PYTHON = "3.11"

# Distribution to its project folder, each after those that it depends on.
PROJECTS = {
    "attachery-client": ROOT / "packages" / "client",
    "attachery": ROOT,
    "attachery-dev": ROOT / "packages" / "dev",
}

Done = subprocess.CompletedProcess[str]

_NOT_INHERITED = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment: its folder."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(
        self, *arguments: str | Path, sources: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Runs its Python in its folder; `sources` adds this checkout's sources to the path."""
        return call([self.python, *arguments], cwd=self.folder, sources=sources)


class NewEnvironment(Protocol):
    """Creates an environment that the caller removes."""

    def __call__(self, *requirements: str | Path, python: str = "") -> Environment: ...


def uv(*arguments: str | Path) -> str:
    """Returns the output of uv, which must succeed."""
    done = call([uv_binary(), *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_environment(folder: Path, *requirements: str | Path, python: str = "") -> Environment:
    """Creates an environment with these requirements, in pip's form, and their dependencies."""
    uv("venv", "--quiet", "--python", python or sys.executable, folder)
    environment = Environment(folder)
    uv("pip", "install", "--quiet", "--python", environment.python, *requirements)
    return environment


def lowest_requirements(distributions: Sequence[str], output: Path, *, extra: str = "") -> Path:
    """A requirements file with the oldest direct dependencies that the distributions allow."""
    lowest = ["--resolution", "lowest-direct", "--python", oldest_python()]
    extras = ["--extra", extra] if extra else []
    own = [option for name in PROJECTS for option in ("--no-emit-package", name)]
    projects = [PROJECTS[name] / "pyproject.toml" for name in distributions]
    uv("pip", "compile", "--quiet", *lowest, *extras, *own, "--output-file", output, *projects)
    return output


def built(dist: Path, name: str, suffix: str) -> Path:
    """The wheel or source distribution of this name in a folder."""
    (found,) = dist.glob(f"{name.replace('-', '_')}-[0-9]*{suffix}")
    return found


def oldest_python() -> str:
    """The oldest Python that is supported, or newer ones lack wheels of the oldest dependencies."""
    done = call([uv_binary(), "python", "find", "--no-project", OLDEST_PYTHON])
    if done.returncode != 0:
        pytest.skip(f"the oldest dependencies need Python {OLDEST_PYTHON}, which is not here")
    return done.stdout.strip()


def call(command: Sequence[str | Path], *, cwd: Path | None = None, sources: bool = False) -> Done:
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    environment.setdefault("UV_SYSTEM_CERTS", "true")
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    if sources:
        environment["PYTHONPATH"] = SOURCES
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def uv_binary() -> Path | str:
    """The uv of this checkout, or of the machine."""
    made_by_make = ROOT / ".tools" / "uv" / "bin" / "uv"
    found = made_by_make if made_by_make.exists() else shutil.which("uv")
    assert found, "there is no uv: run `make test` once, it brings its own"
    return found
