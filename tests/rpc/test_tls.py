"""TLS and mTLS by settings: accepted clients, and changes of certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from attachery_client import AttacheryClient
from support.certificates import Authority, Pair
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("ours")


@pytest.fixture(scope="module")
def stranger() -> Authority:
    return Authority("theirs")


@pytest.fixture
def tls(tmp_path: Path, authority: Authority) -> dict[str, Any]:
    """Settings for TLS with a certificate of the test's authority."""
    certificate, key = authority.issue("server").write(tmp_path, "server")
    return {"tls_certificate": certificate, "tls_key": key}


@pytest.fixture
def mutual_tls(tmp_path: Path, authority: Authority, tls: dict[str, Any]) -> dict[str, Any]:
    (tmp_path / "client-ca.pem").write_bytes(authority.pem)
    return {**tls, "tls_client_ca": tmp_path / "client-ca.pem"}


async def can_call(
    service: ServiceUnderTest, roots: bytes | None, client: Pair | None = None
) -> bool:
    """Whether a new connection that trusts `roots` gets a response; None is a plain one."""
    async with _channel(service.target, roots, client) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        code = await check(b"", timeout=5).code()
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
    return code is grpc.StatusCode.OK


@asynccontextmanager
async def _channel(
    target: str, roots: bytes | None, client: Pair | None
) -> AsyncIterator[grpc.aio.Channel]:
    # By default, channels with the same target and credentials share a connection.
    options = (("grpc.use_local_subchannel_pool", 1),)
    if roots is None:
        opened = grpc.aio.insecure_channel(target, options)
    else:
        pair = (client.key, client.certificate) if client else (None, None)
        credentials = grpc.ssl_channel_credentials(roots, *pair)
        opened = grpc.aio.secure_channel(target, credentials, options)
    async with opened as channel:
        yield channel


async def test_a_caller_with_the_right_authority_gets_in_and_no_plain_one(
    make_service: MakeService, tls: dict[str, Any], authority: Authority, stranger: Authority
) -> None:
    service = await make_service(**tls)
    assert await can_call(service, authority.pem)
    assert not await can_call(service, stranger.pem)
    assert not await can_call(service, None)


async def test_the_client_speaks_tls(
    make_service: MakeService, tls: dict[str, Any], authority: Authority
) -> None:
    service = await make_service(**tls)
    credentials = grpc.ssl_channel_credentials(authority.pem)
    async with AttacheryClient(
        service.target, api_key=service.api_key, credentials=credentials
    ) as client:
        started = await client.start_upload_session(
            tenant_id=TENANT, filename="a.txt", content_type="text/plain", size_bytes=1
        )
    assert started.session.attachment_id


async def test_with_a_client_authority_only_callers_with_its_certificate_get_in(
    make_service: MakeService, mutual_tls: dict[str, Any], authority: Authority, stranger: Authority
) -> None:
    service = await make_service(**mutual_tls)
    assert await can_call(service, authority.pem, authority.issue("caller"))
    assert not await can_call(service, authority.pem)
    assert not await can_call(service, authority.pem, stranger.issue("caller"))
    assert not await can_call(service, None)


async def test_a_certificate_does_not_replace_the_api_key(
    make_service: MakeService, mutual_tls: dict[str, Any], authority: Authority
) -> None:
    service = await make_service(**mutual_tls)
    async with _channel(service.target, authority.pem, authority.issue("caller")) as channel:
        method: Any = channel.unary_unary("/attachery.v1.UploadSessionService/GetUploadSession")
        assert (await failure(method(b""))).reason == "CREDENTIALS_MISSING"


async def test_replaced_certificates_are_used_for_new_connections_and_old_ones_stay(
    make_service: MakeService,
    tls: dict[str, Any],
    tmp_path: Path,
    authority: Authority,
    stranger: Authority,
) -> None:
    service = await make_service(**tls)
    async with _channel(service.target, authority.pem, None) as old:
        check: Any = old.unary_unary("/grpc.health.v1.Health/Check")
        await check(b"")
        stranger.issue("server").write(tmp_path, "server")
        assert await can_call(service, stranger.pem)
        assert not await can_call(service, authority.pem)
        await check(b"")


async def test_half_replaced_or_broken_files_leave_the_certificate_as_it_was(
    make_service: MakeService, tls: dict[str, Any], authority: Authority, stranger: Authority
) -> None:
    service = await make_service(**tls)
    certificate, key = tls["tls_certificate"], tls["tls_key"]
    new = stranger.issue("server")
    certificate.write_bytes(new.certificate)
    assert await can_call(service, authority.pem)
    key.write_bytes(b"junk")
    assert await can_call(service, authority.pem)
    key.unlink()
    assert await can_call(service, authority.pem)
    key.write_bytes(new.key)
    assert await can_call(service, stranger.pem)


async def test_a_replaced_client_authority_is_the_one_that_counts(
    make_service: MakeService, mutual_tls: dict[str, Any], authority: Authority, stranger: Authority
) -> None:
    service = await make_service(**mutual_tls)
    mutual_tls["tls_client_ca"].write_bytes(stranger.pem)
    assert await can_call(service, authority.pem, stranger.issue("caller"))
    assert not await can_call(service, authority.pem, authority.issue("caller"))


async def test_files_that_are_no_certificate_are_refused_at_start(
    make_service: MakeService, mutual_tls: dict[str, Any], tmp_path: Path, authority: Authority
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\nxxxx\n")
    other_key = authority.issue("other").write(tmp_path, "other")[1]
    locked = authority.issue("locked", password=b"words").write(tmp_path, "locked")
    for wrong, said in (
        ({"tls_certificate": junk}, "junk.pem"),
        ({"tls_key": other_key}, "other.key"),
        ({"tls_certificate": locked[0], "tls_key": locked[1]}, "unencrypted"),
        ({"tls_client_ca": junk}, "junk.pem"),
        ({"tls_key": tmp_path / "missing.key"}, "missing.key"),
    ):
        with pytest.raises(OSError, match=said):
            await make_service(**{**mutual_tls, **wrong})
