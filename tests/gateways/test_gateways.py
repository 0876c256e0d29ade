"""The frame that all gateways share: start, stop, credentials, and requests that are no calls."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.gateway_fixtures import GATEWAYS, MakeGateway, RunningGateway, running_gateway
from support.processes import eventually, family, is_alive, started
from support.service_fixtures import ServiceUnderTest

pytestmark = pytest.mark.xdist_group("gateways")

UNKNOWN = "01890000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
async def gateway(make_gateway: MakeGateway, gateway_service: ServiceUnderTest) -> RunningGateway:
    return await make_gateway("lightfield", gateway_service)


@pytest.fixture
async def http(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        yield client


async def test_a_request_without_a_credential_is_refused_before_its_body_is_read(
    http: httpx.AsyncClient,
) -> None:
    refused = await http.post("/v1/files", content=b"{")
    assert refused.status_code == 401
    assert refused.headers["x-request-id"]


async def test_the_key_of_the_gateway_never_replaces_a_malformed_credential(
    gateway_service: ServiceUnderTest, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway("lightfield", gateway_service, "--api-key", "unused")
    malformed = ["Bearer", "Basic Og==", "Bearer a b", "attk_1_2", "Bearer \xe9", "Bearer unknown"]
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        for header in malformed:
            headers = {b"authorization": header.encode("latin-1")}
            refused = await http.get(f"/v1/files/{UNKNOWN}", headers=headers)
            assert refused.status_code == 401, header


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"filename": 1}', "application/json", 400),
        (b'{"filename": null}', "application/json", 400),
        (rb'{"filename": "\ud800", "mimeType": "a/b", "sizeBytes": 1}', "application/json", 400),
        (b'{"filename": "a", "mimeType": "a/b", "sizeBytes": true}', "application/json", 400),
        (b'{"filename": "a", "mimeType": "a/b", "sizeBytes": 1e3}', "application/json", 400),
        (b'{"filename":"a","mimeType":"a/b","sizeBytes":%d}' % 2**64, "application/json", 400),
        (
            b'{"filename":"a","mimeType":"a/b","sizeBytes":%s}' % (b"9" * 5000),
            "application/json",
            400,
        ),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b" " * (1 << 20) + b"{}", "application/json", 413),
    ],
)
async def test_a_body_that_is_no_valid_request_is_refused(
    http: httpx.AsyncClient,
    gateway_service: ServiceUnderTest,
    body: bytes,
    content_type: str,
    status: int,
) -> None:
    headers = {
        "authorization": f"Bearer {gateway_service.api_key}",
        "content-type": content_type,
    }
    refused = await http.post("/v1/files", content=body, headers=headers)
    assert refused.status_code == status
    assert refused.json()["error"]["message"]


async def test_an_unknown_route_is_refused_in_the_form_of_the_api(http: httpx.AsyncClient) -> None:
    refused = await http.get("/v1/files/a/b")
    assert refused.status_code == 404
    assert set(refused.json()["error"]) == {"type", "message"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_gateway_stops_at_a_signal_and_removes_nothing_else(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with running_gateway(tmp_path, "lightfield", "127.0.0.1:1") as gateway:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", gateway.url)
        assert await gateway.process.stopped(number) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "256.0.0.1:0"])
async def test_an_address_that_cannot_be_used_is_refused_without_a_traceback(
    tmp_path: Path, address: str
) -> None:
    arguments = ("--listen", address, "--target", "127.0.0.1:1")
    with started(tmp_path, *arguments, program=(str(GATEWAYS / "lightfield.py"),)) as process:
        assert await process.ended() != 0
    assert "Traceback" not in process.errors


@pytest.mark.exhaustive
async def test_make_gateways_runs_all_of_them_and_leaves_no_process(tmp_path: Path) -> None:
    script, output = GATEWAYS / "run.py", tmp_path / "out.txt"
    arguments = ("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
    with started(tmp_path, *arguments, program=(str(script),)) as process:
        names = {path.stem for path in GATEWAYS.glob("*.py")} - {"run", "shared"}
        urls: dict[str, str] = {}

        def all_run() -> bool:
            urls.update(re.findall(r"^(\w+) +(http://[^/\s]+)$", output.read_text(), re.MULTILINE))
            return process.has_ended or set(urls) == names

        try:
            await eventually(all_run, within=60)
            async with httpx.AsyncClient() as http:
                for url in urls.values():
                    assert (await http.get(url)).status_code == 404
            processes = family(process.pid)
            assert len(processes) > len(names)
        finally:  # a failed test leaves no process either
            code = await process.stopped(signal.SIGINT)
        assert code == 0
    assert not [pid for pid in processes if is_alive(pid)]
