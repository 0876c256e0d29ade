"""The end of connection tokens: by expiry, revocation, and the signing key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace as changed
from pydantic import SecretStr

from attachery_client import AttacheryClient
from attachery_client.errors import AttacheryError
from attachery_service.domain.connection_tokens import ConnectionClaims, connection_claims
from attachery_service.domain.signed_tokens import SignedToken, TokenKey
from support.connecting import bearing, connected, create, revoke
from support.failures import failure
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import Sweeper

UNKNOWN = "01890000-0000-7000-8000-000000000000"
MICROSECOND = timedelta(microseconds=1)


async def reason(service: ServiceUnderTest, token: str) -> str:
    """The reason for which the token is refused; empty if it is valid."""
    async with AttacheryClient(service.target, api_key=token) as client:
        try:
            await client.get_caller()
        except AttacheryError as error:
            return error.reason
    return ""


async def signing_key(service: ServiceUnderTest) -> TokenKey:
    row = await service.database.fetchrow("SELECT key_id, secret FROM session_token_keys")
    assert row is not None
    return TokenKey(row["key_id"], row["secret"])


async def claims_of(service: ServiceUnderTest, **changes: Any) -> ConnectionClaims:
    """The claims of a new token, with changes."""
    token = SignedToken.parse((await create(service, "visitor")).token)
    assert token is not None
    claims = connection_claims(token, await signing_key(service))
    assert claims is not None
    return changed(claims, **changes)


async def test_a_revocation_ends_all_earlier_tokens_of_the_subject_and_no_other(
    service: ServiceUnderTest,
) -> None:
    first, second = [(await create(service, "visitor")).token for _ in range(2)]
    other = (await create(service, "other")).token
    elsewhere = bearing(service, await service.new_key(tenants=["other"]))
    foreign = (await create(elsewhere, "visitor")).token
    await revoke(service, "visitor")
    new = (await create(service, "visitor")).token
    tokens = (first, second, other, foreign, new)
    expected = ["CREDENTIALS_INVALID", "CREDENTIALS_INVALID", "", "", ""]
    assert [await reason(service, token) for token in tokens] == expected
    # A second one ends the newer token too.
    await revoke(service, "visitor")
    assert await reason(service, new) == "CREDENTIALS_INVALID"


async def test_sessions_outlive_the_tokens_of_their_subject(service: ServiceUnderTest) -> None:
    started = await (await connected(service, "visitor")).start()
    await revoke(service, "visitor")
    session = await (await connected(service, "visitor")).get(started.session.attachment_id)
    assert session.subject == "visitor"


async def test_a_token_of_the_time_of_the_revocation_is_revoked(service: ServiceUnderTest) -> None:
    await revoke(service, "visitor")
    time = await service.database.fetchval("SELECT revoke_time FROM connection_revocations")
    claims, key = await claims_of(service), await signing_key(service)
    for issue_time, expected in ((time, "CREDENTIALS_INVALID"), (time + MICROSECOND, "")):
        token = changed(claims, issue_time=issue_time).signed(key)
        assert await reason(service, token) == expected


async def test_the_order_of_calls_decides_even_while_the_clock_stands_still(
    service: ServiceUnderTest,
) -> None:
    await revoke(service, "visitor")
    # The clock has been set back, so each time from now on is the same.
    await service.database.execute(
        "UPDATE connection_revocations SET revoke_time = now() + interval '1 hour'"
    )
    for _ in range(3):
        token = (await create(service, "visitor")).token
        assert await reason(service, token) == ""
        await revoke(service, "visitor")
        assert await reason(service, token) == "CREDENTIALS_INVALID"


async def test_a_token_expires_by_the_clock_of_the_database(service: ServiceUnderTest) -> None:
    key, now = await signing_key(service), await service.database.fetchval("SELECT now()")
    for left, expected in ((timedelta(seconds=10), ""), (timedelta(0), "CREDENTIALS_INVALID")):
        claims = await claims_of(service, expire_time=now + left)
        assert await reason(service, claims.signed(key)) == expected


@pytest.mark.bad_input
async def test_a_changed_or_forged_token_is_refused(service: ServiceUnderTest) -> None:
    token, key = (await create(service, "visitor")).token, await signing_key(service)
    call: Any = service.channel.unary_unary("/attachery.v1.AccessService/GetCaller")
    changes = [
        token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
        for at in range(len(token))
    ]
    claims = await claims_of(service)
    forged = [claims.signed(TokenKey(key.key_id, secret)) for secret in (b"", key.secret[:-1])]
    as_session = key.sign("atts_", token.encode()).replace("atts_", "attc_", 1)
    for other in (*changes[:: len(changes) // 40], *forged, as_session, token[:-1], token + "0"):
        refused = await failure(call(b"", metadata=bearing(service, other).metadata))
        assert refused.reason == "CREDENTIALS_INVALID"


async def test_revoking_the_signing_key_ends_all_its_tokens(service: ServiceUnderTest) -> None:
    token = (await create(service, "visitor")).token
    await service.database.execute("INSERT INTO session_token_keys DEFAULT VALUES")
    await service.database.execute(
        "UPDATE session_token_keys SET revoke_time = now() WHERE key_id = $1", token.split("_")[1]
    )
    assert await reason(service, token) == "CREDENTIALS_INVALID"
    assert await reason(service, (await create(service, "visitor")).token) == ""
    await service.database.execute("UPDATE session_token_keys SET revoke_time = now()")
    refused = await failure(create(service, "visitor"))
    assert (refused.reason, refused.facts["httpStatus"]) == ("SIGNING_KEY_MISSING", "500")


async def test_a_revocation_is_read_once_per_cache_time_in_each_process(
    make_service: MakeService,
) -> None:
    service, reading_anew = await make_service(key_cache_time=60.0), await make_service()
    token = (await create(service, "visitor")).token
    assert await reason(service, token) == ""
    await revoke(service, "visitor")
    assert await reason(service, token) == ""
    assert await reason(reading_anew, token) == "CREDENTIALS_INVALID"
    unused = (await create(reading_anew, "unused")).token
    await revoke(reading_anew, "unused")
    assert await reason(service, unused) == "CREDENTIALS_INVALID"


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(database_url) as proxy:
        yield proxy


async def test_without_the_database_only_a_token_that_was_checked_lately_is_accepted(
    make_service: MakeService, database_url: str, database_proxy: Proxy
) -> None:
    service = await make_service(
        database_url=SecretStr(database_proxy.in_front_of(database_url)),
        database_timeout=0.3,
        key_cache_time=60.0,
    )
    known, unknown = [(await create(service, name)).token for name in ("known", "unknown")]
    assert await reason(service, known) == ""
    database_proxy.cut()
    call: Any = service.channel.unary_unary("/attachery.v1.AccessService/GetCaller")
    assert await call(b"", metadata=bearing(service, known).metadata)
    refused = await failure(call(b"", metadata=bearing(service, unknown).metadata))
    assert refused.reason == "DATABASE_UNAVAILABLE"


async def test_the_sweep_removes_a_revocation_once_its_tokens_have_expired(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    for subject, age in (("old", "24 hours"), ("young", "23 hours 59 minutes")):
        await revoke(service, subject)
        await service.database.execute(
            "UPDATE connection_revocations SET revoke_time = now() - $2::text::interval "
            "WHERE subject = $1",
            subject,
            age,
        )
    await sweeper()
    rows = await service.database.fetch("SELECT tenant_id, subject FROM connection_revocations")
    assert [tuple(row) for row in rows] == [(TENANT, "young")]


@pytest.mark.bad_input
@pytest.mark.parametrize("subject", ["", "a b", "ü", "x" * 129])
@pytest.mark.sample(2)
async def test_a_bad_subject_is_refused(shared_service: ServiceUnderTest, subject: str) -> None:
    refused = await failure(revoke(shared_service, subject))
    assert refused.violations == [("subject", "INVALID_SUBJECT")]


async def test_a_call_of_a_participant_is_logged_with_its_subject(
    service: ServiceUnderTest, capfd: pytest.CaptureFixture[str]
) -> None:
    visitor = await connected(replace(service), "visitor-1")
    await failure(visitor.get(UNKNOWN))
    lines = capfd.readouterr().err.splitlines()
    assert '"principal": "tester", "subject": "visitor-1", ' in lines[-1]
    assert '"subject"' not in lines[-2]
    assert not any(visitor.api_key in line for line in lines)
