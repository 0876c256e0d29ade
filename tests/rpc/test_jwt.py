"""JSON Web Tokens of an issuer: accepted and rejected tokens, and their principals."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from attachery_client import AttacheryClient
from attachery_service.domain.errors import CredentialsInvalid
from attachery_service.jwt import key_set
from attachery_service.jwt.claims import ClaimNames
from attachery_service.jwt.key_set import KeySetError
from attachery_service.jwt.verifier import IssuerOptions, open_issuer
from support.certificates import Authority
from support.commands import run
from support.failures import failure
from support.http_proxy import http_proxy
from support.processes import eventually
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
ISSUER, AUDIENCE = "https://issuer.test", "attachery"
ALL = "uploads.create uploads.read"

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Signer:
    """One key of the issuer's."""

    kid: str
    algorithm: str
    private: Private

    def jwk(self, **more: object) -> dict[str, Any]:
        kind: Any = {"R": RSAAlgorithm, "E": ECAlgorithm}.get(self.algorithm[0])
        if self.algorithm == "EdDSA":
            kind = OKPAlgorithm
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm, **more}

    def token(self, *without: str, headers: Mapping[str, Any] = {}, **claims: object) -> str:
        """Issues a token with all rights that a test needs, with these changes."""
        told = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "mailer",
            "exp": time.time() + 300,
            "tenants": [TENANT],
            "scope": ALL,
            **claims,
        }
        kept = {name: value for name, value in told.items() if name not in without}
        return jwt.encode(kept, self.private, self.algorithm, {"kid": self.kid, **headers})


@pytest.fixture(scope="session")
def signers() -> list[Signer]:
    return [
        Signer("r", "RS256", rsa.generate_private_key(65537, 2048)),
        Signer("e", "ES256", ec.generate_private_key(ec.SECP256R1())),
        Signer("d", "EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ]


@pytest.fixture(scope="session")
def signer(signers: list[Signer]) -> Signer:
    return signers[1]


@pytest.fixture
def key_file(tmp_path: Path, signers: list[Signer]) -> Path:
    return written(tmp_path / "jwks.json", *(signer.jwk() for signer in signers))


def written(path: Path, *keys: object) -> Path:
    path.write_text(json.dumps({"keys": keys}))
    return path


@pytest.fixture
async def service(make_service: MakeService, key_file: Path) -> ServiceUnderTest:
    return await trusting(make_service, key_file)


async def trusting(
    make_service: MakeService, keys: str | Path, **settings: object
) -> ServiceUnderTest:
    return await make_service(
        jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_jwks=str(keys), **settings
    )


def bear(service: ServiceUnderTest, token: str) -> None:
    service.metadata = (("authorization", f"Bearer {token}"),)


async def answer_to(service: ServiceUnderTest, token: str) -> str:
    """Returns the reason of a failed Get; ATTACHMENT_NOT_FOUND for an authorized caller."""
    bear(service, token)
    return (await failure(service.get(UNKNOWN))).reason


async def test_a_token_of_every_algorithm_stands_for_its_principal(
    service: ServiceUnderTest, signers: list[Signer]
) -> None:
    for signer in signers:
        bear(service, signer.token(aud=["other", AUDIENCE]))
        started = await service.start()
        assert started.session.created_by == "mailer"
        bear(service, started.session_token)
        assert (await service.get(started.session.attachment_id)).created_by == "mailer"


async def test_api_keys_work_beside_tokens(service: ServiceUnderTest) -> None:
    assert (await service.start()).session.created_by == "tester"


async def test_without_an_issuer_no_token_is_taken(
    make_service: MakeService, signer: Signer
) -> None:
    assert await answer_to(await make_service(), signer.token()) == "CREDENTIALS_INVALID"


REFUSED: dict[str, Callable[[Signer], str]] = {
    "expired": lambda s: s.token(exp=time.time() - 31),
    "not yet valid": lambda s: s.token(nbf=time.time() + 60),
    "from the future": lambda s: s.token(iat=time.time() + 60),
    "no expiry": lambda s: s.token("exp"),
    "no audience": lambda s: s.token("aud"),
    "no issuer": lambda s: s.token("iss"),
    "no subject": lambda s: s.token("sub"),
    "endless": lambda s: s.token(exp=float("inf")),
    "another audience": lambda s: s.token(aud="attachery2"),
    "part of the audience": lambda s: s.token(aud="attach"),
    "another issuer": lambda s: s.token(iss="https://issuer.test.evil"),
    "part of the issuer": lambda s: s.token(iss="https://issuer"),
    "unknown key": lambda s: s.token(headers={"kid": "x"}),
    "no key": lambda _: _raw({"alg": "ES256"}),
    "a key that is no text": lambda _: _raw({"alg": "ES256", "kid": ["e"]}),
    "the key of another algorithm": lambda s: s.token(headers={"kid": "r"}),
    "critical extension": lambda s: s.token(headers={"crit": ["x"], "x": 1}),
    "name too long": lambda s: s.token(sub="m" * 129),
    "name with a line end": lambda s: s.token(sub="m\n"),
    "no name": lambda s: s.token(sub=""),
    "tenants in words": lambda s: s.token(tenants=TENANT),
    "tenants of another kind": lambda s: s.token(tenants=[1]),
    "a tenant that cannot be": lambda s: s.token(tenants=["../x"]),
    "every tenant among others": lambda s: s.token(tenants=["*"]),
    "no tenants but null": lambda s: s.token(tenants=None),
    "scopes of another kind": lambda s: s.token(scope=7),
    "two parts": lambda s: s.token().rpartition(".")[0],
    "cut off": lambda s: s.token()[:-5],
    "longer": lambda s: s.token() + "A",
    "four parts": lambda s: s.token() + ".x",
    "deep": lambda _: _text(b"[" * 3000) + ".e30.x",
    "no letters of base64": lambda _: "ü.ü.ü".encode().decode("latin-1"),
    "dots": lambda _: "..",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.sample(4)
async def test_every_other_token_is_refused_alike_and_never_quoted(
    service: ServiceUnderTest, signer: Signer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = REFUSED[name](signer)
    if token.isascii():
        assert await answer_to(service, token) == "CREDENTIALS_INVALID"
    capsys.readouterr()
    options = options_of(service.settings.jwt_jwks or "")
    async with open_issuer(options) as verifier:
        with pytest.raises(CredentialsInvalid) as refused:
            await verifier.verify(token)
    assert refused.value.__cause__ is not None
    assert capsys.readouterr().err == ""


async def test_the_line_of_a_call_names_the_cause_of_a_refusal_and_never_quotes_the_token(
    service: ServiceUnderTest, signer: Signer, capfd: pytest.CaptureFixture[str]
) -> None:
    token = signer.token(exp=time.time() - 3600)
    assert await answer_to(service, token) == "CREDENTIALS_INVALID"
    (line,) = [each for each in capfd.readouterr().err.splitlines() if '"rpc"' in each]
    assert json.loads(line)["cause"] == "ExpiredSignatureError"
    assert token not in line


def options_of(keys: str | Path) -> IssuerOptions:
    return IssuerOptions(
        issuer=ISSUER,
        audience=AUDIENCE,
        algorithms=("RS256", "ES256", "EdDSA"),
        keys=str(keys),
        names=ClaimNames(name="sub", tenants="tenants", scopes="scope"),
    )


async def test_a_clock_may_be_thirty_seconds_off(service: ServiceUnderTest, signer: Signer) -> None:
    token = signer.token(exp=time.time() - 20, iat=time.time() + 20, nbf=time.time() + 20)
    assert await answer_to(service, token) == "ATTACHMENT_NOT_FOUND"


async def test_no_token_verifies_without_a_private_key(
    service: ServiceUnderTest, signers: list[Signer]
) -> None:
    for signer in signers:
        public = signer.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        body = signer.token().split(".")[1]
        for secret in (public, public.strip(), json.dumps(signer.jwk()).encode(), b""):
            head = _text(json.dumps({"alg": "HS256", "kid": signer.kid}).encode())
            mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
            forged = f"{head}.{body}.{_text(mac)}"
            assert await answer_to(service, forged) == "CREDENTIALS_INVALID"
        for name in ("none", "None", "NONE", ""):
            head = _text(json.dumps({"alg": name, "kid": signer.kid}).encode())
            assert await answer_to(service, f"{head}.{body}.") == "CREDENTIALS_INVALID"


async def test_a_token_is_for_its_tenants_and_scopes_only(
    service: ServiceUnderTest, signer: Signer
) -> None:
    assert await answer_to(service, signer.token(tenants=["a", "b.c"])) == "TENANT_DENIED"
    assert await answer_to(service, signer.token("tenants")) == "TENANT_DENIED"
    assert await answer_to(service, signer.token(tenants="*")) == "ATTACHMENT_NOT_FOUND"
    for scope in ("uploads.create", "openid uploads.readx", "", [], ["UPLOADS.READ"]):
        assert await answer_to(service, signer.token(scope=scope)) == "SCOPE_MISSING"
    assert await answer_to(service, signer.token("scope")) == "SCOPE_MISSING"
    for granted in ("openid uploads.read", ["uploads.read", 7]):
        assert await answer_to(service, signer.token(scope=granted)) == "ATTACHMENT_NOT_FOUND"


async def test_a_token_of_one_tenant_implies_it(service: ServiceUnderTest, signer: Signer) -> None:
    bear(service, signer.token(tenants=[TENANT], scope="uploads.create"))
    assert (await service.start(tenant_id="")).session.tenant_id == TENANT
    bear(service, signer.token(tenants=[TENANT, "other"], scope="uploads.create"))
    assert (await failure(service.start(tenant_id=""))).reason == "INVALID_TENANT_ID"
    bear(service, signer.token("tenants", scope="uploads.create"))
    assert (await failure(service.start(tenant_id=""))).reason == "TENANT_DENIED"


@pytest.mark.parametrize("later", [3600, 10**15], ids=["an-hour", "for-ever"])
async def test_a_token_shows_its_expiry(
    service: ServiceUnderTest, signer: Signer, later: int
) -> None:
    expiry = int(time.time()) + later
    async with AttacheryClient(service.target, api_key=signer.token(exp=expiry)) as client:
        caller = await client.get_caller()
    assert caller.expire_time.seconds == min(expiry, 253_402_300_799)
    assert caller.name == "mailer"


@pytest.mark.requirement("L2")
async def test_issuer_scopes_grant_the_scopes_they_are_mapped_to(
    make_service: MakeService, key_file: Path, signer: Signer
) -> None:
    scopes = "files:create=uploads.create, files:create=uploads.complete,files=x=uploads.read"
    service = await trusting(make_service, key_file, jwt_scope_map=scopes)
    bear(service, signer.token(scope="files:create"))
    started = await service.start(size_bytes=6)
    assert await service.send(started.target, b"hello\n") < 300
    attachment_id = started.session.attachment_id
    assert (await service.complete(attachment_id)).session.size_bytes == 6
    assert (await failure(service.get(attachment_id))).reason == "SCOPE_MISSING"
    bear(service, signer.token(scope=["files=x"]))
    assert (await service.get(attachment_id)).size_bytes == 6
    bear(service, signer.token(scope="files"))
    assert (await failure(service.get(attachment_id))).reason == "SCOPE_MISSING"


async def test_the_claims_can_have_other_names(
    make_service: MakeService, key_file: Path, signer: Signer
) -> None:
    service = await trusting(
        make_service,
        key_file,
        jwt_name_claim="azp",
        jwt_tenants_claim="https://x.test/tenants",
        jwt_scopes_claim="roles",
    )
    claims: dict[str, Any] = {
        "azp": "portal",
        "https://x.test/tenants": "*",
        "roles": ["uploads.create"],
    }
    bear(service, signer.token("tenants", "scope", **claims))
    assert (await service.start()).session.created_by == "portal"


async def test_only_the_algorithms_of_the_settings_are_taken(
    make_service: MakeService, key_file: Path, signers: list[Signer]
) -> None:
    service = await trusting(make_service, key_file, jwt_algorithms="EdDSA")
    answers = [await answer_to(service, signer.token()) for signer in signers]
    assert answers == ["CREDENTIALS_INVALID", "CREDENTIALS_INVALID", "ATTACHMENT_NOT_FOUND"]


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits long")
async def test_unusable_keys_of_a_set_are_ignored(tmp_path: Path, signers: list[Signer]) -> None:
    r, e, d = signers
    small = Signer("small", "RS256", rsa.generate_private_key(65537, 1024))  # noqa: S505
    secret = {"kty": "oct", "kid": "e2", "k": _text(b"k" * 32), "alg": "HS256"}
    encrypting = d.jwk(use="enc")
    odd = [7, None, {}, {"kty": 7}, {"kty": "EC", "kid": "q"}, {"kty": "RSA", "alg": []}]
    usual = {name: value for name, value in r.jwk().items() if name not in ("alg", "use")}
    keys = [*odd, secret, encrypting, small.jwk(), e.jwk(kid=None), e.jwk(), usual]
    async with open_issuer(options_of(written(tmp_path / "jwks.json", *keys))) as verifier:
        assert (await verifier.verify(e.token())).name == "mailer"
        assert (await verifier.verify(r.token())).name == "mailer"
        for refused in (d.token(), small.token(), e.token(headers={"kid": "e2"})):
            with pytest.raises(CredentialsInvalid):
                await verifier.verify(refused)


@dataclass
class Website:
    """The issuer's website, over HTTPS."""

    url: str
    body: bytes
    status: int = 200
    asked: int = 0
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.answering.wait()
        # Only a redirect follows it: back to this server, which would count it.
        there = {"Location": "/jwks"}
        return web.Response(body=self.body, status=self.status, headers=there)


@pytest.fixture
async def website(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Website]:
    async with _website(Authority("web"), tmp_path, monkeypatch) as site:
        yield site


@asynccontextmanager
async def _website(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Website]:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    certificate, key = authority.issue("localhost").write(tmp_path, "web")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with _serving(context) as site:
        yield site


@asynccontextmanager
async def _serving(context: ssl.SSLContext) -> AsyncIterator[Website]:
    site = Website("", b"")
    site.answering.set()
    app = web.Application()
    app.router.add_get("/jwks", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await listening.start()
    port = runner.addresses[0][1]
    site.url = f"https://127.0.0.1:{port}/jwks"
    yield site
    await runner.cleanup()


def _set(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk() for signer in signers]}).encode()


async def test_keys_are_read_over_a_private_authority_without_key_identifiers(
    signers: list[Signer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _website(Authority("web", old=True), tmp_path, monkeypatch) as site:
        site.body = _set(*signers)
        async with open_issuer(options_of(site.url)) as verifier:
            assert (await verifier.verify(signers[0].token())).name == "mailer"


async def test_lookups_of_unknown_keys_are_rate_limited(
    website: Website, signers: list[Signer], monkeypatch: pytest.MonkeyPatch
) -> None:
    r, e, d = signers
    website.body = _set(r)
    async with open_issuer(options_of(website.url)) as verifier:
        assert website.asked == 1
        website.body = _set(r, e)
        # One of many concurrent callers queries the issuer, and all share the response.
        found = await asyncio.gather(*(verifier.verify(e.token(sub=f"n{n}")) for n in range(20)))
        assert {principal.name for principal in found} == {f"n{n}" for n in range(20)}
        assert website.asked == 2
        website.body = _set(d)
        for _ in range(5):
            with pytest.raises(CredentialsInvalid):
                await verifier.verify(d.token())
        assert website.asked == 2
        monkeypatch.setattr(key_set, "_LEAST_WAIT", 0.0)
        assert (await verifier.verify(d.token())).name == "mailer"
        assert website.asked == 3


async def test_keys_are_read_through_the_proxy(
    website: Website, signers: list[Signer], monkeypatch: pytest.MonkeyPatch
) -> None:
    website.body = _set(*signers)
    async with http_proxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url())
        async with open_issuer(options_of(website.url)) as verifier:
            assert (await verifier.verify(signers[0].token())).name == "mailer"
    assert proxy.methods == ["CONNECT"]


async def test_keys_are_read_again_in_the_background_and_dropped_ones_refused(
    website: Website, signers: list[Signer], monkeypatch: pytest.MonkeyPatch
) -> None:
    r, e, _ = signers
    website.body = _set(r)
    monkeypatch.setattr(key_set, "_PERIOD", 0.02)
    monkeypatch.setattr(key_set, "_LEAST_WAIT", 0.0)
    async with open_issuer(options_of(website.url)) as verifier:
        await verifier.verify(r.token())
        website.body = _set(e)
        asked = website.asked
        await eventually(lambda: website.asked >= asked + 3)
        with pytest.raises(CredentialsInvalid):
            await verifier.verify(r.token(jti="another"))
        await verifier.verify(e.token())


UNREADABLE: dict[str, tuple[int, bytes]] = {
    "a fault": (500, b"{}"),
    "a redirect": (302, b""),
    "nothing": (200, b""),
    "a list": (200, b"[]"),
    "no keys": (200, b'{"keys": []}'),
    "keys of another kind": (200, b'{"keys": 7}'),
    "much": (200, b" " * 300_000),
    "deep": (200, b"[" * 100_000),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_failed_reload_keeps_the_previous_keys(
    website: Website, signers: list[Signer], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    r, e, _ = signers
    website.body = _set(r)
    monkeypatch.setattr(key_set, "_LEAST_WAIT", 0.0)
    async with open_issuer(options_of(website.url)) as verifier:
        website.status, website.body = UNREADABLE[name]
        with pytest.raises(CredentialsInvalid):
            await verifier.verify(e.token())
        assert website.asked == 2
        assert (await verifier.verify(r.token())).name == "mailer"


async def test_an_issuer_that_does_not_answer_at_start_is_retried(
    website: Website, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    website.status = 503
    monkeypatch.setattr(key_set, "_LEAST_WAIT", 0.0)
    async with open_issuer(options_of(website.url)) as verifier:
        with pytest.raises(CredentialsInvalid):
            await verifier.verify(signer.token())
        website.status, website.body = 200, _set(signer)
        assert (await verifier.verify(signer.token())).name == "mailer"


async def test_an_issuer_with_an_untrusted_certificate_is_refused(
    website: Website, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    website.body = _set(signer)
    monkeypatch.delenv("SSL_CERT_FILE")
    async with open_issuer(options_of(website.url)) as verifier:
        with pytest.raises(CredentialsInvalid):
            await verifier.verify(signer.token())
    assert website.asked == 0


async def test_a_caller_that_leaves_does_not_take_the_keys_of_others_along(
    website: Website, signers: list[Signer]
) -> None:
    r, e, _ = signers
    website.body = _set(r)
    async with open_issuer(options_of(website.url)) as verifier:
        website.body = _set(e)
        first = asyncio.create_task(verifier.verify(e.token(jti="first")))
        second = asyncio.create_task(verifier.verify(e.token(jti="second")))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).name == "mailer"
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_silent_issuer_refuses_all_callers_after_one_attempt(
    website: Website, signers: list[Signer], monkeypatch: pytest.MonkeyPatch
) -> None:
    r, e, _ = signers
    website.body = _set(r)
    async with open_issuer(options_of(website.url)) as verifier:
        monkeypatch.setattr(key_set, "_READ_SECONDS", 0.2)
        website.answering.clear()
        async with asyncio.timeout(10):
            found = await asyncio.gather(
                *(verifier.verify(e.token(sub=f"n{n}")) for n in range(20)), return_exceptions=True
            )
        assert {type(error) for error in found} == {CredentialsInvalid}
        assert website.asked == 2
        # The previous keys remain.
        assert (await verifier.verify(r.token())).name == "mailer"
        website.answering.set()


async def test_a_file_system_that_does_not_answer_refuses_all_callers(
    tmp_path: Path, signers: list[Signer], monkeypatch: pytest.MonkeyPatch
) -> None:
    r, e, _ = signers
    path = written(tmp_path / "keys.json", r.jwk())
    async with open_issuer(options_of(path)) as verifier:
        path.unlink()
        os.mkfifo(path)  # opening it for reading blocks until a writer opens it
        monkeypatch.setattr(key_set, "_READ_SECONDS", 0.2)
        async with asyncio.timeout(10):
            with pytest.raises(CredentialsInvalid):
                await verifier.verify(e.token())
        assert (await verifier.verify(r.token())).name == "mailer"
        path.write_bytes(b"")


async def test_a_rotated_file_is_picked_up(
    make_service: MakeService,
    tmp_path: Path,
    signers: list[Signer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    r, e, _ = signers
    file = written(tmp_path / "jwks.json", r.jwk())
    service = await trusting(make_service, file)
    assert await answer_to(service, r.token()) == "ATTACHMENT_NOT_FOUND"
    monkeypatch.setattr(key_set, "_LEAST_WAIT", 0.0)
    written(file, e.jwk())
    assert await answer_to(service, e.token()) == "ATTACHMENT_NOT_FOUND"
    assert await answer_to(service, r.token(jti="another")) == "CREDENTIALS_INVALID"
    file.unlink()
    assert await answer_to(service, r.token(jti="third")) == "CREDENTIALS_INVALID"
    assert await answer_to(service, e.token()) == "ATTACHMENT_NOT_FOUND"


async def test_a_verified_token_is_cached_for_a_minute_but_not_beyond_its_expiry(
    key_file: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    real, now = jwt.decode, time.time()

    def counted(*arguments: Any, **options: Any) -> Any:
        decoded.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    long, short = signer.token(exp=now + 600), signer.token(exp=now + 20)
    async with open_issuer(options_of(key_file)) as verifier:
        for token, later in ((long, 59), (short, 19)):
            decoded.clear()
            for seconds in (0, later):
                monkeypatch.setattr(time, "time", lambda s=seconds: now + s)
                await verifier.verify(token)
            assert len(decoded) == 1
            monkeypatch.setattr(time, "time", lambda s=later: now + s + 2)
            await verifier.verify(token)
            assert len(decoded) == 2
            monkeypatch.setattr(time, "time", lambda: now)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "Expecting value"),
        ('{"keys": []}', "has no key with an id for RS256, ES256, EdDSA"),
        ('{"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}', "has no key"),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused_at_start(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "jwks.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(KeySetError, match=said) as refused:
        async with open_issuer(options_of(file)):
            pass
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jwt_issuer": "i"}, "ATTACHERY_JWT_ISSUER, ATTACHERY_JWT_AUDIENCE and"),
        ({"jwt_audience": "a", "jwt_jwks": "/k"}, "ATTACHERY_JWT_ISSUER, ATTACHERY_JWT_AUDIENCE"),
        ({"jwt_jwks": "http://issuer.test/jwks"}, "ATTACHERY_JWT_JWKS: "),
        ({"jwt_jwks": "https://user:secret@issuer.test/jwks"}, "ATTACHERY_JWT_JWKS: "),
        ({"jwt_algorithms": "none"}, "ATTACHERY_JWT_ALGORITHMS: 'none' is none of"),
        ({"jwt_algorithms": "RS256,HS256"}, "ATTACHERY_JWT_ALGORITHMS: 'HS256' is none of"),
        ({"jwt_scope_map": "files:create"}, "ATTACHERY_JWT_SCOPE_MAP: 'files:create' is"),
        ({"jwt_scope_map": "a=uploads.create,b=c"}, "ATTACHERY_JWT_SCOPE_MAP: 'b=c' is not"),
        ({"jwt_scope_map": "=uploads.create"}, "ATTACHERY_JWT_SCOPE_MAP: '=uploads.create' is not"),
        ({"jwt_algorithms": "RS256, ES256"}, "ATTACHERY_JWT_ALGORITHMS: ' ES256' is none of"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    settings: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usable = {"database_url": "postgresql://u:p@h/n", "s3_bucket": "b"}
    for name, value in (usable | settings).items():
        monkeypatch.setenv(f"ATTACHERY_{name.upper()}", value)
    assert run(["serve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "secret" not in line


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _raw(header: object) -> str:
    return f"{_text(json.dumps(header).encode())}.e30.e30"
