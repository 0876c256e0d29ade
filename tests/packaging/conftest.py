"""The distribution, built once for all that is asked of it here, and environments for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.environments import ROOT, Environment, NewEnvironment, make_environment, uv


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder, ROOT)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def new_environment() -> Iterator[NewEnvironment]:
    """Environments that go with the run: pytest would keep its last three runs' in full size."""
    numbers = itertools.count(1)
    with TemporaryDirectory(prefix="attachery-environments-") as name:
        yield lambda *requirements, python="": make_environment(
            Path(name, str(next(numbers))), *requirements, python=python
        )


@pytest.fixture(scope="session")
def base(wheel: Path, new_environment: NewEnvironment) -> Environment:
    """An environment after `pip install attachery`, with no extra."""
    return new_environment(wheel)
