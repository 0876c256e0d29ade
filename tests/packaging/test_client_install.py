"""The result of `pip install attachery-client` for a calling service."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from attachery_client.cli.help import COMMANDS_OF
from support.environments import PROJECTS, Environment, NewEnvironment, call, uv

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.packaging,
    pytest.mark.xdist_group("packaging"),
]

IMPORTS = """
import attachery_client, attachery_client.testing
from attachery.v1 import attachments_pb2_grpc, errors_pb2, resources_pb2, upload_sessions_pb2_grpc
print(attachery_client.__file__)
print(upload_sessions_pb2_grpc.__file__)
"""

UPLOAD = """
import asyncio
from attachery_client import AttacheryClient, MissingExtra

async def main():
    async with AttacheryClient("127.0.0.1:1", api_key="unused") as client:
        try:
            await client.upload(b"hello", tenant_id="acme", filename="hello.txt")
        except MissingExtra as error:
            print(error)

asyncio.run(main())
"""

CONSUMER = """
from pathlib import Path
from typing import assert_type

from attachery.v1.resources_pb2 import Attachment
from attachery_client import AttacheryClient
from attachery_client.errors import UploadExpired


async def store(client: AttacheryClient, report: Path) -> str:
    try:
        attachment = await client.upload(report, tenant_id="acme")
    except UploadExpired as error:
        assert_type(error.facts, dict[str, str])
        raise
    assert_type(attachment, Attachment)
    assert_type(attachment.size_bytes, int)
    assert_type(await client.download(attachment.attachment_id, tenant_id="acme"), bytes)
    return attachment.attachment_id

"""

# The parts that protobuf and grpcio leave to separate stubs: repeated fields, channels, plain
# calls.
CONSUMER_OF_STUBS = """
from typing import assert_type

import grpc

from attachery.v1 import upload_sessions_pb2
from attachery.v1.upload_sessions_pb2_grpc import UploadSessionServiceAsyncStub
from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError


async def first_name(client: AttacheryClient, ids: list[str]) -> str | None:
    try:
        resolved = await client.resolve_attachments(ids, tenant_id="acme")
    except AttacheryError as error:
        assert_type(error.code, grpc.StatusCode)
        return None
    return resolved.results[0].attachment.filename


async def state(stub: UploadSessionServiceAsyncStub, attachment_id: str) -> int:
    request = upload_sessions_pb2.GetUploadSessionRequest(attachment_id=attachment_id)
    answer = await stub.GetUploadSession(request, timeout=5)
    return answer.session.state
"""

MISTAKE = """
from attachery_client import AttacheryClient


async def store(client: AttacheryClient) -> int:
    attachment = await client.upload(42, tenant_id="acme")
    return attachment.filename
"""


def test_client_and_contract_come_from_the_wheel(base: Environment) -> None:
    done = base.run("-I", "-W", "error", "-c", IMPORTS)

    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(base.folder) for line in done.stdout.split())


def test_the_client_installs_no_server_code(base: Environment) -> None:
    listed = json.loads(uv("pip", "list", "--python", base.python, "--format", "json"))

    # grpcio itself needs typing-extensions.
    assert {package["name"] for package in listed} - {"typing-extensions"} == {
        "attachery-client",
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
    }


@pytest.mark.parametrize(
    ("command", "distribution", "projects"),
    [
        (["serve"], "attachery", "./packages/client ."),
        (["keys", "list"], "attachery", "./packages/client ."),
        (["dev"], "attachery-dev", "./packages/client . ./packages/dev"),
    ],
)
def test_a_missing_command_names_the_distribution_that_provides_it(
    base: Environment, command: list[str], distribution: str, projects: str
) -> None:
    done = call([base.folder / "bin" / "attachery", *command], cwd=base.folder)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"attachery: {command[0]} is not installed; it comes with the distribution {distribution} "
        f"(in a checkout: pip install {projects}); see attachery --help\n"
    )


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ([], "a command is required"),
        (["unlike"], "no such command: unlike"),
        (["severe"], "no such command: severe (did you mean serve?)"),
    ],
)
def test_an_unknown_command_is_refused(base: Environment, command: list[str], text: str) -> None:
    done = call([base.folder / "bin" / "attachery", *command], cwd=base.folder)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"attachery: {text}; see attachery --help\n"


@pytest.mark.parametrize("command", [["--help"], ["-h"], ["serve", "--help"]])
def test_the_help_of_a_client_explains_which_distribution_provides_the_commands(
    base: Environment, command: list[str]
) -> None:
    done = call([base.folder / "bin" / "attachery", *command], cwd=base.folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"  attachery +serve, worker,", done.stdout)
    assert re.search(r"  attachery-dev +dev, demo", done.stdout)
    assert "pip install ./packages/client . ./packages/dev" in done.stdout


def test_the_listed_commands_are_those_that_the_distributions_register() -> None:
    registered = {name: tuple(_commands(name)) for name in ("attachery", "attachery-dev")}

    assert registered == COMMANDS_OF


def test_the_version_is_that_of_the_installed_package(base: Environment) -> None:
    done = call([base.folder / "bin" / "attachery", "--version"], cwd=base.folder)

    assert (done.returncode, done.stderr) == (0, "")
    installed = json.loads(uv("pip", "list", "--python", base.python, "--format", "json"))
    (version,) = [found["version"] for found in installed if found["name"] == "attachery-client"]
    assert done.stdout == f"attachery {version}\n"


def test_upload_names_the_extra_that_it_needs(base: Environment) -> None:
    done = base.run("-I", "-c", UPLOAD)

    assert done.returncode == 0, done.stderr
    assert (
        done.stdout == "upload and download need aiohttp, of the extra attachery-client[transfer]\n"
    )


def test_a_caller_has_types(base: Environment, tmp_path: Path) -> None:
    code, said = _checked(base, tmp_path, CONSUMER)

    assert code == 0, said


def test_a_caller_of_the_stubs_has_types(
    client_wheel: Path, new_environment: NewEnvironment, tmp_path: Path
) -> None:
    typed = new_environment(client_wheel, "types-grpcio", "types-protobuf")

    code, said = _checked(typed, tmp_path, CONSUMER_OF_STUBS)

    assert code == 0, said


def test_type_checking_reports_mistakes_of_callers(base: Environment, tmp_path: Path) -> None:
    code, said = _checked(base, tmp_path, MISTAKE)

    assert code == 1
    assert 'has incompatible type "int"; expected "Path | str | bytes"' in said
    assert 'got "str", expected "int"' in said


def _checked(base: Environment, folder: Path, script: str) -> tuple[int, str]:
    """Returns exit code and output of a strict mypy with the installed packages only."""
    (folder / "caller.py").write_text(script)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", ""]
    done = call([*mypy, "--python-executable", base.python, "caller.py"], cwd=folder)
    return done.returncode, done.stdout + done.stderr


def _commands(distribution: str) -> list[str]:
    """The commands that the distribution's pyproject.toml registers, in its order."""
    project = tomllib.loads((PROJECTS[distribution] / "pyproject.toml").read_text())["project"]
    return list(project["entry-points"]["attachery.commands"])
