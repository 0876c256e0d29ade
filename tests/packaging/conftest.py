"""The distributions, built once for every test here, and environments for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.environments import PROJECTS, Environment, NewEnvironment, built, make_environment, uv


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every source distribution, and the wheels that were built from them."""
    folder = tmp_path_factory.mktemp("dist")
    for project in PROJECTS.values():
        uv("build", "--quiet", "--out-dir", folder, project)
    return folder


@pytest.fixture(scope="session")
def client_wheel(dist: Path) -> Path:
    return built(dist, "attachery-client", ".whl")


@pytest.fixture(scope="session")
def new_environment() -> Iterator[NewEnvironment]:
    """Environments that are removed after the run: pytest would keep those of its last three."""
    numbers = itertools.count(1)
    with TemporaryDirectory(prefix="attachery-environments-") as name:
        yield lambda *requirements, python="": make_environment(
            Path(name, str(next(numbers))), *requirements, python=python
        )


@pytest.fixture(scope="session")
def base(client_wheel: Path, new_environment: NewEnvironment) -> Environment:
    """An environment after `pip install attachery-client`."""
    return new_environment(client_wheel)
