"""The example for Node.js runs against the service, and Node's loader reads the protos alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.service_fixtures import MakeService

ROOT = Path(__file__).parents[2]
MISSING = "Node.js 18 or newer with npm is missing"
LOAD_PROTOS = """
import protoLoader from "@grpc/proto-loader";
const files = ["upload_sessions", "attachments", "admin", "errors"].map(
  (name) => `attachery/v1/${name}.proto`,
);
const definition = protoLoader.loadSync(files, { includeDirs: [process.argv[1]] });
console.log("StartUploadSession" in definition["attachery.v1.UploadSessionService"]);
"""


@pytest.fixture(scope="module")
def example() -> Iterator[Path]:
    """A copy of the example with its dependencies installed."""
    if not _has_node():
        if os.environ.get("TEST_ATTACHERY_REQUIRE_NODE"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with TemporaryDirectory(prefix="attachery-node-") as name:
        folder = Path(name, "examples", "node")
        shutil.copytree(ROOT / "examples" / "node", folder, ignore=_INSTALLED)
        (Path(name) / "generated").symlink_to(ROOT / "generated")
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(install, cwd=folder, check=True, stdin=subprocess.DEVNULL, timeout=90)
        yield folder


_INSTALLED = shutil.ignore_patterns("node_modules")


def _has_node() -> bool:
    if not (shutil.which("npm") and (node := shutil.which("node"))):
        return False
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return int(version.stdout.lstrip("v").partition(".")[0] or 0) >= 18


@dataclass(frozen=True, slots=True)
class Ended:
    """The exit code of a program, and its output."""

    code: int | None
    output: str
    errors: str


async def _node(folder: Path, *arguments: str, **variables: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        "node",
        *arguments,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return Ended(process.returncode, output.decode(), errors.decode())


async def test_the_node_example_uploads_and_downloads(
    make_service: MakeService, example: Path
) -> None:
    service = await make_service()
    key = await service.new_key(tenants=["demo"])
    (example / "hello.txt").write_bytes(b"hello from Node\n")

    ended = await _node(example, "upload.js", "hello.txt", ATTACHERY=service.target, KEY=key)

    assert ended == Ended(0, ended.output, "")
    first, second = ended.output.splitlines()
    assert first.endswith("is UPLOAD_SESSION_STATE_READY, 16 bytes")
    assert second == "downloaded the same bytes"


@pytest.mark.exhaustive
async def test_the_node_example_prints_the_reason_of_an_error(
    make_service: MakeService, example: Path
) -> None:
    service = await make_service()
    key = await service.new_key(tenants=["other"])

    ended = await _node(example, "upload.js", "upload.js", ATTACHERY=service.target, KEY=key)

    assert (ended.code, ended.output) == (1, "")
    assert ended.errors.startswith("TENANT_DENIED: ")


async def test_the_loader_of_node_reads_the_folder_of_protos_alone(example: Path) -> None:
    ended = await _node(example, "--input-type=module", "--eval", LOAD_PROTOS, str(ROOT / "protos"))

    assert ended == Ended(0, "true\n", "")
