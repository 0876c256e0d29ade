"""The service and its callers work with the oldest and the newest dependencies that are allowed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Protocol

import pytest

from support.environments import (
    Environment,
    NewEnvironment,
    lowest_requirements,
    oldest_python,
)
from support.service_fixtures import ServiceUnderTest

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.packaging,
    pytest.mark.xdist_group("packaging"),
    pytest.mark.timeout(300),  # an empty cache is filled from PyPI first
]

BASE = ["grpcio>=1.65.5,<2", "googleapis-common-protos>=1.63.1,<2"]

VERSIONS = """
import json
from importlib.metadata import version
print(json.dumps({name: version(name) for name in NAMES}))
"""

# Every kind of field, serialised and parsed; then calls, with an error and its details.
CALLER = """
import asyncio, sys
from datetime import timedelta

from attachery.v1 import attachments_pb2_grpc, errors_pb2, resources_pb2, upload_sessions_pb2
from attachery_client import AttacheryClient
from attachery_client.errors import AttachmentNotFound, InvalidRequest


def round_trip():
    request = upload_sessions_pb2.StartUploadSessionRequest(
        tenant_id="acme", filename="a.txt", size_bytes=0, metadata={"case": "7"}
    )
    request.ttl.FromTimedelta(timedelta(minutes=5))
    request.checksums.crc32c = "c1d04330"
    read = upload_sessions_pb2.StartUploadSessionRequest.FromString(request.SerializeToString())
    assert read == request and read.HasField("size_bytes") and not read.purpose, read
    assert errors_pb2.ErrorReason.Name(1).startswith("ERROR_REASON_")


async def calls(target, key):
    async with AttacheryClient(target, api_key=key) as client:
        started = await client.start_upload_session(
            tenant_id="acme", filename="a.txt", content_type="text/plain", size_bytes=5
        )
        attachment_id = started.session.attachment_id
        await client.cancel_upload_session(attachment_id, tenant_id="acme")
        got = await client.get_upload_session(attachment_id, tenant_id="acme")
        assert got.session.state == resources_pb2.UPLOAD_SESSION_STATE_CANCELLED, got
        try:
            unknown = "01890000-0000-7000-8000-000000000000"
            await client.get_attachment(unknown, tenant_id="acme")
            raise AssertionError("found")
        except AttachmentNotFound as error:
            assert error.request_id
        try:
            await client.start_upload_session(tenant_id="acme", filename="", content_type="x")
            raise AssertionError("accepted")
        except InvalidRequest as error:
            assert [v.field for v in error.violations] == ["filename", "content_type"]


round_trip()
asyncio.run(calls(*sys.argv[1:]))
print("done")
"""

TRANSFER = """
import asyncio, sys
from attachery_client import AttacheryClient

async def main(target, key):
    async with AttacheryClient(target, api_key=key) as client:
        attachment = await client.upload(b"hello", tenant_id="acme", filename="hello.txt")
        assert await client.download(attachment.attachment_id, tenant_id="acme") == b"hello"

asyncio.run(main(*sys.argv[1:]))
print("done")
"""


class Lowest(Protocol):
    """An environment with the dependencies of distributions, each at its lower bound."""

    def __call__(self, *distributions: str, extra: str = "") -> Environment: ...


@pytest.fixture(scope="module")
def lowest(new_environment: NewEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Lowest:
    folder = tmp_path_factory.mktemp("requirements")

    def make(*distributions: str, extra: str = "") -> Environment:
        output = folder / f"{'-'.join(distributions)}.txt"
        requirements = lowest_requirements(distributions, output, extra=extra)
        return new_environment("--requirements", requirements, python=oldest_python())

    return make


@pytest.fixture(scope="module")
def lowest_client(lowest: Lowest) -> Environment:
    return lowest("attachery-client", extra="transfer")


@pytest.fixture(scope="module")
def lowest_server(lowest: Lowest) -> Environment:
    return lowest("attachery-client", "attachery")


@pytest.fixture(scope="module")
def lowest_dev(lowest: Lowest) -> Environment:
    return lowest("attachery-client", "attachery", "attachery-dev")


def test_the_oldest_client_is_as_old_as_promised(lowest_client: Environment) -> None:
    versions = _versions(lowest_client, "grpcio", "protobuf", "googleapis-common-protos")

    assert versions == {
        "grpcio": "1.65.5",
        "protobuf": "5.26.1",
        "googleapis-common-protos": "1.63.1",
    }


async def test_the_oldest_client_works(
    lowest_client: Environment, service: ServiceUnderTest
) -> None:
    await _run(lowest_client, service, CALLER)
    await _run(lowest_client, service, TRANSFER)


@pytest.mark.parametrize("major", [5, 6, 7])
async def test_the_client_works_with_every_protobuf(
    major: int, service: ServiceUnderTest, new_environment: NewEnvironment
) -> None:
    environment = new_environment(f"protobuf=={major}.*", *BASE)

    assert _versions(environment, "protobuf")["protobuf"].startswith(f"{major}.")
    await _run(environment, service, CALLER)


def test_the_service_serves_with_its_own_dependencies_only(lowest_server: Environment) -> None:
    done = lowest_server.run("-m", "attachery_service", "serve", sources=True)

    # As far as a start without settings gets.
    assert done.returncode == 2
    assert "ATTACHERY_DATABASE_URL: is required" in done.stderr


def test_dev_names_the_distribution_that_it_needs(
    lowest_server: Environment, tmp_path: Path
) -> None:
    arguments = ("dev", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data")

    done = lowest_server.run("-m", "attachery_dev", *arguments, sources=True)

    assert done.returncode == 1
    *progress, line = done.stderr.splitlines()
    assert "distribution attachery-dev" in line
    assert all(json.loads(each)["level"] == "info" for each in progress)


def test_the_flow_works_with_the_oldest_dependencies(
    lowest_dev: Environment, tmp_path: Path
) -> None:
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")

    done = lowest_dev.run("-m", "attachery_dev", "demo", file, sources=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("hello.txt was downloaded unchanged: 6 bytes.\n")


def _versions(environment: Environment, *names: str) -> dict[str, str]:
    done = environment.run("-c", VERSIONS.replace("NAMES", repr(names)))
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


async def _run(environment: Environment, service: ServiceUnderTest, script: str) -> None:
    """Runs a caller's script; warnings, such as those of stubs too old, are errors."""
    strictly = ("-W", "error", "-c", script, service.target, service.api_key)
    done = await asyncio.to_thread(environment.run, *strictly, sources=True)
    assert done.stdout == "done\n", done.stderr
