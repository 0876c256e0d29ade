"""The documented install commands take the sibling distributions from the checkout.

The index of these tests redirects requests to the real one. It refuses and records a request for a
distribution of this project, because a registry may have a foreign package of that name.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.environments import PROJECTS, ROOT, Environment, call, uv, uv_binary

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.packaging,
    pytest.mark.xdist_group("packaging"),
    pytest.mark.timeout(300),
]

CLIENT = ["./packages/client"]
SERVICE = ["./packages/client", "."]
DEV = ["./packages/client", ".", "./packages/dev"]

# Printed by the environment's Python: the URL that each distribution was installed from.
ORIGINS = """
import json
from importlib.metadata import distributions
print(json.dumps({
    found.metadata["Name"]: json.loads(found.read_text("direct_url.json") or "{}").get("url")
    for found in distributions()
    if found.metadata["Name"].startswith("attachery")
}))
"""


class Index(ThreadingHTTPServer):
    """An index without the distributions of this project."""

    def __init__(self, real: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.real = real
        self.refused = list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        name = self.path.removeprefix("/simple").strip("/")
        if name in PROJECTS:
            self.server.refused.append(name)
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", f"{self.server.real}/{name}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@contextmanager
def serving(index: Index) -> Iterator[Index]:
    thread = threading.Thread(target=index.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        index.shutdown()
        thread.join()
        index.server_close()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    real = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
    with serving(Index((real or "https://pypi.org/simple").rstrip("/"))) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


@pytest.mark.parametrize(
    ("tool", "projects"),
    [("pip", CLIENT), ("pip", SERVICE), ("uv", SERVICE), ("uv", DEV)],
)
def test_a_documented_command_installs_the_siblings_from_the_checkout(
    tool: str, projects: list[str], index: Index, tmp_path: Path
) -> None:
    assert f"pip install {' '.join(projects)}" in (ROOT / "README.md").read_text()
    uv("venv", "--quiet", "--seed", tmp_path / "new")
    environment = Environment(tmp_path / "new")
    install: dict[str, list[str | Path]] = {
        "pip": [environment.python, "-m", "pip", "install", "--quiet"],
        "uv": [uv_binary(), "pip", "install", "--quiet", "--python", environment.python],
    }

    done = call([*install[tool], *projects], cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert index.refused == []
    names = list(PROJECTS)[: len(projects)]
    origins = json.loads(environment.run("-I", "-c", ORIGINS).stdout)
    assert origins == {name: PROJECTS[name].as_uri() for name in names}
    help_text = call([environment.folder / "bin" / "attachery", "--help"]).stdout
    assert ("\n  serve  " in help_text, "\n  dev  " in help_text) == (
        "attachery" in names,
        "attachery-dev" in names,
    )


def test_installing_the_service_alone_requests_the_client_from_the_index(
    index: Index, tmp_path: Path
) -> None:
    """The reason to name the siblings, and the proof that the index notices a request."""
    uv("venv", "--quiet", "--seed", tmp_path / "new")
    python = tmp_path / "new" / "bin" / "python"

    done = call([python, "-m", "pip", "install", "--quiet", "."], cwd=ROOT)

    assert done.returncode == 1
    assert index.refused == ["attachery-client"]
