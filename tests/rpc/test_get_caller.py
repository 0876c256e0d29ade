"""GetCaller: the identity and the rights of the credential of the call."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from attachery.v1 import access_pb2 as pb
from attachery_client import AttacheryClient
from attachery_service.domain.identity import ALL_SCOPES, Scope
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

METHOD = "/attachery.v1.AccessService/GetCaller"


async def caller(service: ServiceUnderTest, credential: str) -> pb.GetCallerResponse:
    async with AttacheryClient(service.target, api_key=credential) as client:
        return await client.get_caller()


async def test_a_key_of_one_tenant(shared_service: ServiceUnderTest) -> None:
    found = await caller(shared_service, shared_service.api_key)
    assert (found.name, list(found.tenant_ids), found.all_tenants) == ("tester", [TENANT], False)
    assert found.scopes == sorted(ALL_SCOPES)
    assert not found.HasField("expire_time")
    assert found.attachment_id == ""


async def test_keys_of_several_and_of_all_tenants(shared_service: ServiceUnderTest) -> None:
    key = await shared_service.new_key(tenants=["b", "a"], scopes=[Scope.UPLOADS_READ])
    found = await caller(shared_service, key)
    assert (list(found.tenant_ids), found.all_tenants) == (["a", "b"], False)
    assert found.scopes == ["uploads.read"]
    found = await caller(shared_service, await shared_service.new_key(tenants=None))
    assert (list(found.tenant_ids), found.all_tenants) == ([], True)


async def test_a_key_that_expires(shared_service: ServiceUnderTest) -> None:
    found = await caller(shared_service, await shared_service.new_key(ttl=timedelta(hours=1)))
    left = found.expire_time.ToDatetime(UTC) - await shared_service.database.fetchval(
        "SELECT now()"
    )
    assert timedelta(minutes=59) < left < timedelta(hours=1)


async def test_a_key_that_is_revoked_later_expires_then(shared_service: ServiceUnderTest) -> None:
    """As the first one of a rotation."""
    key = await shared_service.new_key(ttl=timedelta(hours=2))
    revoke_time = await shared_service.database.fetchval(
        "UPDATE api_keys SET revoke_time = now() + interval '1 hour' WHERE key_id = $1 "
        "RETURNING revoke_time",
        key.split("_")[1],
    )
    found = await caller(shared_service, key)
    assert found.expire_time.ToDatetime(UTC) == revoke_time


async def test_a_key_without_any_scope(shared_service: ServiceUnderTest) -> None:
    found = await caller(shared_service, await shared_service.new_key(scopes=()))
    assert (found.name, list(found.scopes)) == ("tester", [])


async def test_a_session_token(shared_service: ServiceUnderTest) -> None:
    started = await shared_service.start()
    found = await caller(shared_service, started.session_token)
    assert (found.name, list(found.tenant_ids)) == ("tester", [TENANT])
    assert found.scopes == ["uploads.complete", "uploads.create", "uploads.read"]
    assert found.attachment_id == started.session.attachment_id
    assert found.expire_time.ToDatetime(UTC) == started.session.expire_time.ToDatetime(UTC)


@pytest.mark.bad_input
async def test_no_credential_and_a_wrong_one(shared_service: ServiceUnderTest) -> None:
    call: Any = shared_service.channel.unary_unary(METHOD)
    assert (await failure(call(b""))).reason == "CREDENTIALS_MISSING"
    wrong = [("authorization", "Bearer x")]
    assert (await failure(call(b"", metadata=wrong))).reason == "CREDENTIALS_INVALID"
    right = shared_service.metadata
    assert (await failure(call(b"\xff", metadata=right))).reason == "MALFORMED_REQUEST"


async def test_it_counts_towards_the_limit_of_reads(make_service: MakeService) -> None:
    service = await make_service(rate_limit_read="1/day")
    call: Any = service.channel.unary_unary(METHOD)
    first = call(b"", metadata=service.metadata)
    await first
    assert dict(await first.trailing_metadata())["x-ratelimit-remaining"] == "0"
    assert (await failure(call(b"", metadata=service.metadata))).reason == "RATE_LIMITED"
