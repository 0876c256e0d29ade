"""The previous release, built from the git history into an environment of its own.

`PREVIOUS` names its commit. Move it to the commit of a release as soon as that is published.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.environments import ROOT, Environment, built, make_environment, uv

_PREVIOUS = Path(__file__).with_name("PREVIOUS")
_SHALLOW = (
    "tests/compat build the previous release from the git history, and this checkout is shallow: "
    "run `git fetch --unshallow`"
)


@pytest.fixture(scope="session")
def previous() -> Iterator[Environment]:
    """An environment with the previous release and the dependencies that it was locked with."""
    with TemporaryDirectory(prefix="attachery-previous-") as name:
        source = Path(name, "source")
        source.mkdir()
        _unpack(_PREVIOUS.read_text().strip(), source)
        yield _install(source, Path(name))


def _unpack(commit: str, folder: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the previous release is built from the git history, and there is none")
    if _git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.fail(_SHALLOW, pytrace=False)
    subprocess.run(["tar", "-x", "-C", folder], input=_git("archive", commit), check=True)


def _install(source: Path, folder: Path) -> Environment:
    uv("build", "--quiet", "--wheel", "--out-dir", folder / "dist", source)
    locked = folder / "requirements.txt"
    export = ["--frozen", "--no-dev", "--all-extras", "--no-emit-project", "--no-hashes"]
    uv("export", "--quiet", *export, "--project", source, "--output-file", locked)
    wheel = built(folder / "dist", "attachery", ".whl")
    return make_environment(folder / "environment", wheel, "--requirements", locked)


def _git(*arguments: str) -> bytes:
    return subprocess.run(
        ["git", "-C", ROOT, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True
    ).stdout
