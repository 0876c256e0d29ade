"""Session tokens: a credential for one upload session and nothing else."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attachery.v1 import resources_pb2 as pb
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError
from attachery_service.domain.credentials import ApiKey
from attachery_service.domain.identity import Scope
from attachery_service.domain.session_tokens import SessionClaims, session_claims
from attachery_service.domain.signed_tokens import SignedToken, TokenKey
from attachery_service.observability.logs import redact
from attachery_service.postgres.migrate import migrate
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

pytestmark = pytest.mark.requirement("C3")

UNKNOWN = "01890000-0000-7000-8000-000000000000"

Started = upb.StartUploadSessionResponse
Call = Callable[[ServiceUnderTest, str], Awaitable[Any]]

BY_ID: dict[str, Call] = {
    "complete": ServiceUnderTest.complete,
    "cancel": ServiceUnderTest.cancel,
    "get": ServiceUnderTest.get,
}

# As in the contract: letters, digits and four signs, not beginning with a dot.
TENANTS = st.text(string.ascii_letters + string.digits + "_~-.", min_size=1, max_size=128).filter(
    lambda tenant: not tenant.startswith(".")
)


def bear(service: ServiceUnderTest, credential: str) -> None:
    service.metadata = (("authorization", f"Bearer {credential}"), ("x-request-id", "same"))


async def refusal(service: ServiceUnderTest, credential: str, attachment_id: str) -> Failure:
    """Returns the error of a Get with this credential."""
    bear(service, credential)
    return await failure(service.get(attachment_id))


async def add_key(service: ServiceUnderTest) -> None:
    await service.database.execute("INSERT INTO session_token_keys DEFAULT VALUES")


async def test_token_alone_completes_and_reads_its_session(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(size_bytes=6)
    attachment_id = started.session.attachment_id
    await service.send(started.target, b"hello\n")
    bear(service, started.session_token)
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_PENDING
    completed = await service.complete(attachment_id, request_id="r-1")
    assert completed.attachment.attachment_id == attachment_id
    assert await service.complete(attachment_id, request_id="r-1") == completed
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_READY


async def test_token_alone_cancels_its_session(service: ServiceUnderTest) -> None:
    started = await service.start()
    bear(service, started.session_token)
    cancelled = await service.cancel(started.session.attachment_id)
    assert cancelled.state == pb.UPLOAD_SESSION_STATE_CANCELLED


async def test_python_client_accepts_a_token_as_its_credential(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=6)
    await service.send(started.target, b"hello\n")
    async with AttacheryClient(service.target, api_key=started.session_token) as client:
        completed = await client.complete_upload_session(
            started.session.attachment_id, tenant_id=TENANT
        )
        assert completed.attachment.size_bytes == 6
        with pytest.raises(AttacheryError) as refused:
            await client.get_attachment(started.session.attachment_id, tenant_id=TENANT)
        assert refused.value.reason == "SCOPE_MISSING"


async def test_token_acts_as_the_caller_that_started_the_session(
    service: ServiceUnderTest,
) -> None:
    started = await service.start()
    bear(service, started.session_token)
    await service.cancel(started.session.attachment_id)
    rows = await service.database.fetch("SELECT actor FROM session_events ORDER BY revision")
    assert [row["actor"] for row in rows] == ["tester", "tester"]


async def test_token_completes_its_session_in_a_batch_and_no_other(
    service: ServiceUnderTest,
) -> None:
    other = (await service.start()).session.attachment_id
    started = await service.start(size_bytes=6)
    await service.send(started.target, b"hello\n")
    bear(service, started.session_token)
    items: Any = [{"attachment_id": i} for i in (started.session.attachment_id, other, UNKNOWN)]
    request = upb.BatchCompleteUploadSessionsRequest(items=items)
    answer = await service.uploads.BatchCompleteUploadSessions(request, metadata=service.metadata)
    own, foreign, unknown = answer.results
    assert own.response.session.state == pb.UPLOAD_SESSION_STATE_READY
    assert foreign.SerializeToString() == unknown.SerializeToString().replace(
        UNKNOWN.encode(), other.encode()
    )
    assert await service.events(other) == ["pending"]


@pytest.mark.parametrize("name", BY_ID)
async def test_any_other_session_is_refused_byte_for_byte_like_an_unknown_one(
    service: ServiceUnderTest, name: str
) -> None:
    other, call = (await service.start()).session.attachment_id, BY_ID[name]
    token = (await service.start()).session_token
    service.metadata = (*service.metadata, ("x-request-id", "same"))
    unknown = await failure(call(service, UNKNOWN))
    bear(service, token)
    refused = await failure(call(service, other))
    assert refused.reason == "ATTACHMENT_NOT_FOUND"
    assert refused.status.SerializeToString() == unknown.status.SerializeToString().replace(
        UNKNOWN.encode(), other.encode()
    )
    # In the same order: errors in the request itself come first.
    assert (await failure(call(service, "no-uuid"))).reason == "INVALID_ATTACHMENT_ID"
    assert await service.events(other) == ["pending"]


async def test_another_tenant_is_denied_even_if_the_starter_may_act_in_all_tenants(
    service: ServiceUnderTest,
) -> None:
    bear(service, await service.new_key(tenants=None))
    started = await service.start()
    bear(service, started.session_token)
    request = upb.GetUploadSessionRequest(
        tenant_id="other", attachment_id=started.session.attachment_id
    )
    call = service.uploads.GetUploadSession(request, metadata=service.metadata)
    assert (await failure(call)).reason == "TENANT_DENIED"


async def test_token_expires_with_its_session_by_the_databases_clock(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(ttl=timedelta(seconds=60))
    token = SignedToken.parse(started.session_token)
    assert token is not None
    key = await stored_key(service)
    claims = session_claims(token, key)
    assert claims is not None
    assert claims.expire_time == _exactly(started.session)
    now = await service.database.fetchval("SELECT now()")
    attachment_id, ends = started.session.attachment_id, claims.expire_time
    for left, reason in ((timedelta(seconds=10), ""), (timedelta(0), "CREDENTIALS_INVALID")):
        shifted = SessionClaims(
            tenant_id=TENANT,
            attachment_id=UUID(attachment_id),
            expire_time=now + left,
            name="tester",
        )
        bear(service, shifted.signed(key))
        if reason:
            assert (await failure(service.get(attachment_id))).reason == reason
        else:
            assert (await service.get(attachment_id)).attachment_id == attachment_id
    assert timedelta(seconds=50) < ends - now <= timedelta(seconds=60)


async def test_token_expires_while_its_signing_key_is_cached(make_service: MakeService) -> None:
    service = await make_service(key_cache_time=60.0)
    attachment_id = (await service.start()).session.attachment_id
    key = await stored_key(service)
    now = await service.database.fetchval("SELECT now()")
    soon = SessionClaims(
        tenant_id=TENANT,
        attachment_id=UUID(attachment_id),
        expire_time=now + timedelta(seconds=0.5),
        name="tester",
    ).signed(key)
    bear(service, soon)
    assert (await service.get(attachment_id)).attachment_id == attachment_id
    await asyncio.sleep(0.6)
    assert (await failure(service.get(attachment_id))).reason == "CREDENTIALS_INVALID"


async def test_session_deadline_applies_even_if_the_token_is_valid_for_longer(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(size_bytes=6)
    await service.send(started.target, b"hello\n")
    await service.age(started.session.attachment_id, timedelta(hours=1))
    bear(service, started.session_token)
    refused = await failure(service.complete(started.session.attachment_id))
    assert refused.reason == "UPLOAD_EXPIRED"


async def test_replayed_start_returns_a_valid_token(
    service: ServiceUnderTest,
) -> None:
    first = await service.start(request_id="r-1")
    await add_key(service)
    again = await service.start(request_id="r-1")
    assert again.session_token != first.session_token
    for token in (first.session_token, again.session_token):
        bear(service, token)
        session = await service.get(first.session.attachment_id)
        assert session.attachment_id == first.session.attachment_id


async def test_response_without_a_target_has_no_token(service: ServiceUnderTest) -> None:
    assert (await service.start(validate_only=True)).session_token == ""
    started = await service.start(request_id="r-1")
    await service.cancel(started.session.attachment_id)
    again = await service.start(request_id="r-1")
    assert not again.HasField("target")
    assert again.session_token == ""


async def test_every_replica_accepts_tokens_of_the_others(make_service: MakeService) -> None:
    one, two = await make_service(), await make_service(key_cache_time=60.0)
    for _ in range(2):
        started = await one.start()
        bear(two, started.session_token)
        assert (await two.get(started.session.attachment_id)).tenant_id == TENANT
        await add_key(one)  # which the other server reads when it needs it


async def test_revoking_a_signing_key_ends_its_tokens_and_no_others(
    service: ServiceUnderTest,
) -> None:
    old = await service.start()
    await add_key(service)
    new = await service.start()
    await service.database.execute(
        "UPDATE session_token_keys SET revoke_time = now() WHERE key_id = $1",
        old.session_token.split("_")[1],
    )
    refused = await refusal(service, old.session_token, old.session.attachment_id)
    assert refused.reason == "CREDENTIALS_INVALID"
    bear(service, new.session_token)
    assert (await service.get(new.session.attachment_id)).tenant_id == TENANT


async def test_sessions_start_without_a_token_if_there_is_no_signing_key(
    service: ServiceUnderTest,
) -> None:
    await service.database.execute("UPDATE session_token_keys SET revoke_time = now()")
    started = await service.start()
    assert started.HasField("target")
    assert started.session_token == ""


async def test_concurrent_migrations_create_one_signing_key(
    empty_database_url: str,
) -> None:
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    connection = await asyncpg.connect(empty_database_url)
    secrets = [row[0] for row in await connection.fetch("SELECT secret FROM session_token_keys")]
    await connection.close()
    assert [len(secret) for secret in secrets] == [32]


async def test_signing_key_is_read_once_per_cache_time(
    make_service: MakeService,
) -> None:
    service = await make_service(key_cache_time=60.0)
    started = await service.start()
    bear(service, started.session_token)
    await service.get(started.session.attachment_id)
    await service.database.execute("DELETE FROM session_token_keys")
    assert (await service.get(started.session.attachment_id)).tenant_id == TENANT


async def test_token_with_any_byte_changed_removed_or_added_is_refused(
    service: ServiceUnderTest,
) -> None:
    started = await service.start()
    token, attachment_id = started.session_token, started.session.attachment_id
    changed = [
        token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
        for at in range(len(token))
    ]
    # Letters that differ in one bit, and in bits that base64 ignores.
    changed += [
        token[:at] + chr(ord(token[at]) ^ 1) + token[at + 1 :]
        for at in range(len(token))
        if chr(ord(token[at]) ^ 1).isalnum()
    ]
    changed += [token[:-1], token + "0", token.upper(), token[: len(token) // 2]]
    assert token not in changed
    for other in changed:
        assert (await refusal(service, other, attachment_id)).reason == "CREDENTIALS_INVALID", other


async def test_token_signed_with_another_key_of_the_same_id_is_refused(
    service: ServiceUnderTest,
) -> None:
    started = await service.start()
    token, real = SignedToken.parse(started.session_token), await stored_key(service)
    assert token is not None
    claims = session_claims(token, real)
    assert claims is not None
    assert claims.signed(real) == started.session_token
    for secret in (b"", b"\0" * 32, real.secret[:-1]):
        forged = claims.signed(TokenKey(real.key_id, secret))
        refused = await refusal(service, forged, started.session.attachment_id)
        assert refused.reason == "CREDENTIALS_INVALID"
    unsigned = started.session_token.rpartition("_")[0]
    refused = await refusal(service, unsigned, started.session.attachment_id)
    assert refused.reason == "CREDENTIALS_INVALID"


async def test_tokens_and_ids_of_one_tenant_are_useless_in_another(
    service: ServiceUnderTest,
) -> None:
    loop = asyncio.get_running_loop()
    everybody = await service.new_key(tenants=None, scopes=set(Scope))

    async def crossed(one: str, other: str) -> None:
        bear(service, everybody)
        theirs = await service.start(tenant_id=one)
        ours = await service.start(tenant_id=other)
        for tenant, session, expected in (
            (other, theirs.session, {"TENANT_DENIED"}),
            (other, ours.session, {"TENANT_DENIED"}),
            (one, ours.session, {"ATTACHMENT_NOT_FOUND"}),
        ):
            bear(service, theirs.session_token)
            for method, request in (
                ("GetUploadSession", upb.GetUploadSessionRequest),
                ("CancelUploadSession", upb.CancelUploadSessionRequest),
                ("CompleteUploadSession", upb.CompleteUploadSessionRequest),
            ):
                asked = request(tenant_id=tenant, attachment_id=session.attachment_id)
                call = getattr(service.uploads, method)(asked, metadata=service.metadata)
                assert (await failure(call)).reason in expected

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(TENANTS, min_size=2, max_size=2, unique=True))
    def property_holds(tenants: list[str]) -> None:
        asyncio.run_coroutine_threadsafe(crossed(*tenants), loop).result(60)

    await asyncio.to_thread(property_holds)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware by the strategy


@given(TENANTS, st.uuids(), TIMES, NAMES, st.binary(min_size=1, max_size=64))
def test_signed_token_round_trips_only_with_its_key(
    tenant: str, attachment_id: UUID, expire_time: datetime, name: str, secret: bytes
) -> None:
    key = TokenKey("0123456789ab", secret)
    claims = SessionClaims(
        tenant_id=tenant, attachment_id=attachment_id, expire_time=expire_time, name=name
    )
    text = claims.signed(key)
    token = SignedToken.parse(text)
    assert token is not None
    assert session_claims(token, key) == claims
    assert session_claims(token, TokenKey(key.key_id, secret + b"x")) is None
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 500
    assert ApiKey.parse(text) is None
    assert redact(f"got {text} from") == "got atts_0123456789ab_[redacted] from"
    assert repr(token).count("mac") == 0


async def stored_key(service: ServiceUnderTest) -> TokenKey:
    row = await service.database.fetchrow("SELECT key_id, secret FROM session_token_keys")
    assert row is not None
    assert len(row["secret"]) == 32
    return TokenKey(row["key_id"], row["secret"])


def _exactly(session: pb.UploadSession) -> datetime:
    return session.expire_time.ToDatetime(tzinfo=UTC)
