"""Authentication and authorization, and the information that unauthorized callers get."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from attachery.v1 import attachments_pb2 as apb
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_service.domain.identity import ALL_SCOPES, Scope
from attachery_service.postgres.caches import keys as key_cache
from support.access_rules import RULES
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"

Call = Callable[[ServiceUnderTest, str, str], Awaitable[Any]]


def _get(service: ServiceUnderTest, tenant: str, attachment_id: str) -> Awaitable[Any]:
    request = upb.GetUploadSessionRequest(tenant_id=tenant, attachment_id=attachment_id)
    return service.uploads.GetUploadSession(request, metadata=service.metadata)


def _complete(service: ServiceUnderTest, tenant: str, attachment_id: str) -> Awaitable[Any]:
    request = upb.CompleteUploadSessionRequest(tenant_id=tenant, attachment_id=attachment_id)
    return service.uploads.CompleteUploadSession(request, metadata=service.metadata)


def _cancel(service: ServiceUnderTest, tenant: str, attachment_id: str) -> Awaitable[Any]:
    request = upb.CancelUploadSessionRequest(tenant_id=tenant, attachment_id=attachment_id)
    return service.uploads.CancelUploadSession(request, metadata=service.metadata)


def _get_attachment(service: ServiceUnderTest, tenant: str, attachment_id: str) -> Awaitable[Any]:
    request = apb.GetAttachmentRequest(tenant_id=tenant, attachment_id=attachment_id)
    return service.attachments.GetAttachment(request, metadata=service.metadata)


def _download(service: ServiceUnderTest, tenant: str, attachment_id: str) -> Awaitable[Any]:
    request = apb.CreateDownloadUrlRequest(tenant_id=tenant, attachment_id=attachment_id)
    return service.attachments.CreateDownloadUrl(request, metadata=service.metadata)


BY_ID = [_get, _complete, _cancel, _get_attachment, _download]


def use_key(service: ServiceUnderTest, key: str) -> None:
    service.metadata = (("authorization", f"Bearer {key}"),)


@pytest.mark.requirement("N5")
@pytest.mark.bad_input
async def test_call_without_a_credential_is_unauthenticated(
    service: ServiceUnderTest,
) -> None:
    service.metadata = ()
    refused = await failure(service.get(UNKNOWN))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.reason == "CREDENTIALS_MISSING"
    assert refused.facts["httpStatus"] == "401"


@pytest.mark.requirement("N5")
@pytest.mark.bad_input
@pytest.mark.parametrize(
    "credential",
    [
        "Bearer ",
        "Bearer x",
        "Basic abc",
        "Bearer attk_0123456789abcdef_" + "a" * 64,
        "Bearer attk_0000000000000000_" + "0" * 64,
        "Bearer attk_' OR 1=1 --",
    ],
)
@pytest.mark.sample(2)
async def test_every_bad_credential_gets_the_same_error(
    service: ServiceUnderTest, credential: str
) -> None:
    service.metadata = (("authorization", credential),)
    refused = await failure(service.get(UNKNOWN))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.reason == "CREDENTIALS_INVALID"


@pytest.mark.bad_input
@pytest.mark.parametrize("other", ["the same", "Bearer x", "Basic abc", ""])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.sample(3)
async def test_a_call_with_two_credentials_is_refused_whichever_is_right(
    service: ServiceUnderTest, other: str, first: bool
) -> None:
    right = service.metadata[0]
    wrong = right if other == "the same" else ("authorization", other)
    service.metadata = (right, wrong) if first else (wrong, right)
    refused = await failure(service.get(UNKNOWN))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert refused.reason == "CREDENTIALS_INVALID"


@pytest.mark.bad_input
@pytest.mark.parametrize("joined", ["{0},{0}", "{0}, {0}", "{0},Bearer x", "Bearer x, {0}"])
async def test_credentials_that_a_proxy_has_joined_are_refused(
    service: ServiceUnderTest, joined: str
) -> None:
    service.metadata = (("authorization", joined.format(service.metadata[0][1])),)
    assert (await failure(service.get(UNKNOWN))).reason == "CREDENTIALS_INVALID"


@pytest.mark.bad_input
async def test_a_binary_key_of_a_similar_name_is_no_credential(service: ServiceUnderTest) -> None:
    right = service.metadata[0]
    binary: Any = ("authorization-bin", right[1].encode())
    service.metadata = (binary,)
    assert (await failure(service.get(UNKNOWN))).reason == "CREDENTIALS_MISSING"
    service.metadata = (right, binary)
    assert (await failure(service.get(UNKNOWN))).reason == "ATTACHMENT_NOT_FOUND"


@pytest.mark.bad_input
@pytest.mark.parametrize("other", ["one", "two", "not valid", ""])
async def test_a_call_with_two_request_ids_is_refused_and_gets_a_new_one(
    service: ServiceUnderTest, other: str
) -> None:
    ids = (("x-request-id", "one"), ("x-request-id", other))
    service.metadata = (*service.metadata, *ids)
    refused = await failure(service.get(UNKNOWN))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [("x-request-id", "INVALID_REQUEST_ID")]
    assert UUID(refused.request_id).version == 4
    # An unauthorized caller gets no information about it.
    service.metadata = ids
    refused = await failure(service.get(UNKNOWN))
    assert refused.reason == "CREDENTIALS_MISSING"
    assert UUID(refused.request_id).version == 4


@pytest.mark.bad_input
async def test_request_ids_that_a_proxy_has_joined_are_replaced(service: ServiceUnderTest) -> None:
    service.metadata = (*service.metadata, ("x-request-id", "one,two"))
    refused = await failure(service.get(UNKNOWN))
    assert refused.reason == "ATTACHMENT_NOT_FOUND"
    assert UUID(refused.request_id).version == 4


async def test_other_metadata_may_be_repeated(service: ServiceUnderTest) -> None:
    more: Any = (("baggage", "a=1"), ("baggage", "b=2"), ("x-request-id-bin", b"one"))
    service.metadata = (*service.metadata, ("x-request-id", "one"), *more)
    refused = await failure(service.get(UNKNOWN))
    assert (refused.reason, refused.request_id) == ("ATTACHMENT_NOT_FOUND", "one")


@pytest.mark.bad_input
async def test_a_right_key_id_with_a_wrong_secret_is_refused(service: ServiceUnderTest) -> None:
    use_key(service, service.api_key[:-1] + ("0" if service.api_key[-1] != "0" else "1"))
    assert (await failure(service.get(UNKNOWN))).reason == "CREDENTIALS_INVALID"


async def test_only_a_digest_of_the_secret_is_kept(service: ServiceUnderTest) -> None:
    secret = service.api_key.rpartition("_")[2]
    row = await service.database.fetchrow("SELECT api_keys::text AS whole FROM api_keys")
    assert row is not None
    assert secret not in row["whole"]
    assert bytes.fromhex(secret).hex() not in row["whole"]


@pytest.mark.parametrize("cache_time", [0.0, 1e-6], ids=["not-kept", "kept-a-moment"])
async def test_a_revoked_key_stops_working(make_service: MakeService, cache_time: float) -> None:
    service = await make_service(key_cache_time=cache_time)
    assert (await failure(service.get(UNKNOWN))).reason == "ATTACHMENT_NOT_FOUND"
    await service.database.execute("UPDATE api_keys SET revoke_time = now()")
    assert (await failure(service.get(UNKNOWN))).reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize("cache_time", [0.0, 1e-6], ids=["not-kept", "kept-a-moment"])
async def test_an_expired_key_stops_working_by_the_clock_of_the_database(
    make_service: MakeService, cache_time: float
) -> None:
    service = await make_service(key_cache_time=cache_time)
    use_key(service, await service.new_key(ttl=timedelta(hours=1)))
    for age, reason in (
        ("59 minutes", "ATTACHMENT_NOT_FOUND"),
        ("1 minute", "CREDENTIALS_INVALID"),
    ):
        await service.database.execute(
            "UPDATE api_keys SET expire_time = expire_time - $1::text::interval", age
        )
        assert (await failure(service.get(UNKNOWN))).reason == reason
    # A key without an expiry is not affected.
    use_key(service, service.api_key)
    assert (await failure(service.get(UNKNOWN))).reason == "ATTACHMENT_NOT_FOUND"


async def test_a_key_is_looked_up_once_in_its_cache_time(make_service: MakeService) -> None:
    service = await make_service(key_cache_time=60.0)
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    await service.database.execute("UPDATE api_keys SET revoke_time = now()")
    assert (await service.get(attachment_id)).attachment_id == attachment_id


async def test_all_keys_are_read_at_once_and_one_made_since_works_at_once(
    make_service: MakeService,
) -> None:
    service = await make_service(key_cache_time=60.0)
    others = [await service.new_key() for _ in range(3)]
    await service.start(size_bytes=1)
    await service.database.execute("UPDATE api_keys SET revoke_time = now()")
    for key in others:  # an unused key
        service.metadata = (("authorization", f"Bearer {key}"),)
        await service.start(size_bytes=1)
    service.metadata = (("authorization", f"Bearer {await service.new_key()}"),)
    await service.start(size_bytes=1)


async def test_where_there_are_too_many_keys_each_is_looked_up(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "_MOST_AT_ONCE", 1)
    service = await make_service(key_cache_time=60.0)
    other = await service.new_key()
    await service.start(size_bytes=1)
    await service.database.execute("UPDATE api_keys SET revoke_time = now()")
    await service.start(size_bytes=1)
    service.metadata = (("authorization", f"Bearer {other}"),)
    assert (await failure(service.start(size_bytes=1))).reason == "CREDENTIALS_INVALID"


@pytest.mark.requirement("N1")
@pytest.mark.bad_input
async def test_tenant_outside_the_key_is_denied_before_any_lookup(
    service: ServiceUnderTest,
) -> None:
    for call in BY_ID:
        for attachment_id in (UNKNOWN, "no-uuid"):
            refused = await failure(call(service, "other", attachment_id))
            assert refused.code is grpc.StatusCode.PERMISSION_DENIED
            assert refused.reason == "TENANT_DENIED"
    refused = await failure(service.start(tenant_id="other", filename="a/b"))
    assert refused.reason == "TENANT_DENIED"


@pytest.mark.requirement("N1", "N6", "C7")
@pytest.mark.bad_input
@pytest.mark.parametrize("call", BY_ID)
@pytest.mark.sample(3)
async def test_id_of_another_tenant_is_refused_byte_for_byte_like_an_unknown_one(
    service: ServiceUnderTest, call: Call
) -> None:
    attachment_id = await service.ready()
    use_key(service, await service.new_key(tenants=["other"]))
    service.metadata = (*service.metadata, ("x-request-id", "same"))
    foreign = await failure(call(service, "other", attachment_id))
    unknown = await failure(call(service, "other", UNKNOWN))
    assert foreign.code is grpc.StatusCode.NOT_FOUND
    assert foreign.reason == "ATTACHMENT_NOT_FOUND"
    assert foreign.facts["httpStatus"] == "404"
    # Equal except for the id that the caller sent.
    assert foreign.status.SerializeToString() == unknown.status.SerializeToString().replace(
        UNKNOWN.encode(), attachment_id.encode()
    )


async def test_resolve_answers_a_foreign_id_like_an_unknown_one(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    use_key(service, await service.new_key(tenants=["other"]))
    service.metadata = (*service.metadata, ("x-request-id", "same"))
    request = apb.ResolveAttachmentsRequest(
        tenant_id="other", attachment_ids=[attachment_id, UNKNOWN]
    )
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    foreign, unknown = (result.SerializeToString() for result in answer.results)
    assert foreign == unknown.replace(UNKNOWN.encode(), attachment_id.encode())


async def test_a_key_for_all_tenants_may_act_in_any(service: ServiceUnderTest) -> None:
    use_key(service, await service.new_key(tenants=None))
    started = await service.start(size_bytes=1, tenant_id="any.tenant~1")
    assert started.session.tenant_id == "any.tenant~1"
    assert (await failure(service.start(tenant_id="../x"))).reason == "INVALID_TENANT_ID"


@pytest.mark.parametrize("method", sorted(path for path, rule in RULES.items() if rule.scope))
@pytest.mark.sample(4)
async def test_a_method_needs_its_scope_and_reveals_nothing_without(
    service: ServiceUnderTest, method: str
) -> None:
    scope = RULES[method].scope
    assert scope is not None
    use_key(service, await service.new_key(scopes=ALL_SCOPES - {scope}))
    call: Any = service.channel.unary_unary(method)
    refused = await failure(call(b"\xff", metadata=service.metadata))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.reason == "SCOPE_MISSING"
    assert refused.facts["scope"] == scope.value
    use_key(service, await service.new_key(scopes={scope}))
    refused = await failure(call(b"\xff", metadata=service.metadata))
    assert refused.reason == "MALFORMED_REQUEST"


def test_every_scope_has_a_method() -> None:
    # Without the scope of a response's field, and GetCaller, which needs none.
    scopes = {rule.scope for rule in RULES.values()} - {None}
    assert scopes == set(Scope) - {Scope.ATTACHMENTS_STORAGE_READ}


async def test_a_session_shows_its_creator(service: ServiceUnderTest) -> None:
    session = (await service.start(size_bytes=1)).session
    assert (session.created_by, session.tenant_id) == ("tester", TENANT)
