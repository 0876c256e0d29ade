"""Callers identified by their certificate, and callers that are not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from cryptography import x509

from attachery.v1 import upload_sessions_pb2 as upb
from attachery_client import AttacheryClient
from attachery_service.domain.identity import Principal, Scope
from attachery_service.settings.peers import read_peers
from attachery_service.settings.toml import SettingsFileError
from support.certificates import Authority
from support.commands import run
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

MAILER, PORTAL = "spiffe://example.org/mailer", "portal.example.org"
START = "/attachery.v1.UploadSessionService/StartUploadSession"

PEERS = f"""
["{MAILER}"]
tenants = ["{TENANT}"]
scopes = ["uploads.create", "uploads.read"]

["{PORTAL}"]
tenants = "*"
scopes = ["uploads.read"]
"""


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


class Start(Protocol):
    """Starts a session over a new connection; returns its creator, or the error."""

    async def __call__(
        self, *names: x509.GeneralName, credential: str | None = None, tenant_id: str = TENANT
    ) -> str: ...


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("ours")


@pytest.fixture
def mutual_tls(tmp_path: Path, authority: Authority) -> dict[str, Any]:
    certificate, key = authority.issue("server").write(tmp_path, "server")
    (tmp_path / "client-ca.pem").write_bytes(authority.pem)
    return {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_client_ca": tmp_path / "client-ca.pem",
    }


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "peers.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
async def service(
    make_service: MakeService, mutual_tls: dict[str, Any], tmp_path: Path
) -> ServiceUnderTest:
    return await make_service(**mutual_tls, peers=written(tmp_path, PEERS))


@pytest.fixture
def start(service: ServiceUnderTest, authority: Authority) -> Start:
    async def call(
        *names: x509.GeneralName, credential: str | None = None, tenant_id: str = TENANT
    ) -> str:
        request = upb.StartUploadSessionRequest(
            tenant_id=tenant_id, filename="a.txt", content_type="text/plain", size_bytes=1
        )
        metadata = () if credential is None else (("authorization", credential),)
        async with _channel(service.target, authority, *names) as channel:
            method: Any = channel.unary_unary(
                START,
                upb.StartUploadSessionRequest.SerializeToString,
                upb.StartUploadSessionResponse.FromString,
            )
            asked = method(request, metadata=metadata)
            if await asked.code() is grpc.StatusCode.OK:
                return str((await asked).session.created_by)
            return (await failure(asked)).reason

    return call


@asynccontextmanager
async def _channel(
    target: str, authority: Authority, *names: x509.GeneralName
) -> AsyncIterator[grpc.aio.Channel]:
    pair = authority.issue("caller", *names)
    credentials = grpc.ssl_channel_credentials(authority.pem, pair.key, pair.certificate)
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(target, credentials, options) as channel:
        yield channel


async def test_a_caller_without_a_credential_is_identified_by_its_certificate(start: Start) -> None:
    assert await start(uri(MAILER)) == MAILER
    assert await start(uri(MAILER), tenant_id="") == MAILER
    assert await start(uri(MAILER), tenant_id="other") == "TENANT_DENIED"
    assert await start(dns(PORTAL)) == "SCOPE_MISSING"
    assert await start(dns(PORTAL.upper())) == "SCOPE_MISSING"
    # The SPIFFE id precedes any DNS name, and the first name in the file counts.
    assert await start(dns(PORTAL), uri(MAILER)) == MAILER
    assert await start(dns("unknown.example.org"), dns(PORTAL)) == "SCOPE_MISSING"


async def test_the_python_client_needs_no_key_with_a_certificate(
    service: ServiceUnderTest, authority: Authority
) -> None:
    pair = authority.issue("caller", uri(MAILER))
    credentials = grpc.ssl_channel_credentials(authority.pem, pair.key, pair.certificate)
    async with AttacheryClient(service.target, api_key=None, credentials=credentials) as client:
        started = await client.start_upload_session(
            tenant_id=TENANT, filename="a.txt", content_type="text/plain", size_bytes=1
        )
    assert started.session.created_by == MAILER


async def test_an_unlisted_certificate_needs_a_credential(
    service: ServiceUnderTest, start: Start
) -> None:
    for stranger in (
        (),
        (uri("spiffe://example.org/mailer/more"),),
        (uri("spiffe://example.com/mailer"),),
        (uri("SPIFFE://EXAMPLE.ORG/MAILER"),),
        (uri(MAILER), uri("spiffe://example.org/another")),  # a SPIFFE id is the only URI
        (uri("https://portal.example.org"),),
        (dns("mailer"),),
        (dns("x.portal.example.org"),),
        (dns("*.example.org"),),
        (x509.RFC822Name("portal@portal.example.org"),),
        (uri(PORTAL),),
    ):
        assert await start(*stranger) == "CREDENTIALS_MISSING", stranger
    assert await start(credential=f"Bearer {service.api_key}") == "tester"


async def test_a_credential_counts_more_than_the_certificate(
    service: ServiceUnderTest, start: Start
) -> None:
    assert await start(uri(MAILER), credential=f"Bearer {service.api_key}") == "tester"
    assert await start(uri(MAILER), credential="Bearer x") == "CREDENTIALS_INVALID"
    assert await start(uri(MAILER), credential="") == "CREDENTIALS_MISSING"


async def test_without_the_file_certificates_identify_no_caller(
    make_service: MakeService, mutual_tls: dict[str, Any], authority: Authority
) -> None:
    service = await make_service(**mutual_tls)
    async with _channel(service.target, authority, uri(MAILER)) as channel:
        method: Any = channel.unary_unary(START)
        assert (await failure(method(b""))).reason == "CREDENTIALS_MISSING"


def test_the_file_defines_tenants_and_scopes(tmp_path: Path) -> None:
    assert read_peers(None) == {}
    assert read_peers(written(tmp_path, PEERS)) == {
        MAILER: Principal(
            name=MAILER,
            tenants=frozenset({TENANT}),
            scopes=frozenset({Scope.UPLOADS_CREATE, Scope.UPLOADS_READ}),
        ),
        PORTAL: Principal(name=PORTAL, tenants=None, scopes=frozenset({Scope.UPLOADS_READ})),
    }


WRONG = [
    ("[", "peers.toml: "),
    ('["spiffe://x/a"]\ntenants = []', "peers.toml:1: [spiffe://x/a] scopes: Field required"),
    ('[a]\nscopes = []\n\n["b.c"]\nscopes = []', "peers.toml:1: [a] tenants: Field required"),
    ('\n[a]\ntenants = ["../t"]\nscopes = []', "peers.toml:3: [a] tenants: "),
    ('[a]\ntenants = "t"\nscopes = []', "peers.toml:2: [a] tenants: "),
    ('[a]\ntenants = "*"\nscopes = ["uploads"]', "peers.toml:3: [a] scopes: Input should be"),
    ('[a]\ntenants = "*"\nscopes = []\nname = 1', "peers.toml:4: [a] name: no such key"),
    ('\n["*.example.org"]\ntenants = "*"', "peers.toml:2: '*.example.org' is not a table"),
    ('["Portal.example.org"]', "peers.toml:1: 'Portal.example.org' is not a table"),
    ('["https://example.org"]', "peers.toml:1: 'https://example.org' is not a table"),
    (f'["spiffe://x/{"a" * 128}"]', "is not a table with a valid name"),
    ("a = 1", "peers.toml:1: 'a' is not a table"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsFileError) as refused:
        read_peers(written(tmp_path, text))
    assert said in str(refused.value)


async def test_a_wrong_file_is_refused_at_start(
    make_service: MakeService, mutual_tls: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SettingsFileError, match=r"peers.toml:1: \[a\] tenants: Field required"):
        await make_service(**mutual_tls, peers=written(tmp_path, "[a]\nscopes = []"))


def test_the_file_needs_an_authority_for_certificates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"database_url": "postgresql://u:p@h/n", "s3_bucket": "b", "peers": "/peers.toml"}
    for name, value in settings.items():
        monkeypatch.setenv(f"ATTACHERY_{name.upper()}", value)
    assert run(["serve"]) == 2
    assert "ATTACHERY_PEERS needs ATTACHERY_TLS_CLIENT_CA" in capsys.readouterr().err
