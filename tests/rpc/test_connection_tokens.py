"""Connection tokens: uploads of one participant, and nothing of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from attachery.v1 import access_pb2 as pb
from attachery.v1 import attachments_pb2 as apb
from attachery.v1 import resources_pb2 as res
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_client import AttacheryClient
from attachery_service.domain.identity import Scope
from support.access_rules import RULES
from support.connecting import READ, bearing, connected, create
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
FILE = {"filename": "a.txt", "content_type": "text/plain", "size_bytes": 6}
BODY = b"hello\n"

# A new method must be added here to be permitted; one that is not is refused.
OF_SESSIONS = {
    "CompleteUploadSession",
    "BatchCompleteUploadSessions",
    "CancelUploadSession",
    "GetUploadSession",
    "GetCaller",
}
PERMITTED = {
    "session": OF_SESSIONS,
    "connection": OF_SESSIONS | {"StartUploadSession"},
    "reading": OF_SESSIONS | {"StartUploadSession", "GetAttachment", "CreateDownloadUrl"},
}

Call = Callable[[ServiceUnderTest, str], Awaitable[Any]]
BY_ID: dict[str, Call] = {
    "complete": ServiceUnderTest.complete,
    "cancel": ServiceUnderTest.cancel,
    "get": ServiceUnderTest.get,
}


@pytest.fixture
def service(shared_service: ServiceUnderTest) -> ServiceUnderTest:
    return shared_service


async def credential_of(service: ServiceUnderTest, kind: str) -> str:
    if kind == "session":
        return (await service.start()).session_token
    scopes = READ if kind == "reading" else ()
    return (await create(service, "visitor", scopes=scopes)).token


async def batch(service: ServiceUnderTest, *ids: str, request_id: str = "") -> Any:
    items: Any = [{"attachment_id": i} for i in ids]
    request = upb.BatchCompleteUploadSessionsRequest(items=items, request_id=request_id)
    answer = await service.uploads.BatchCompleteUploadSessions(request, metadata=service.metadata)
    return answer.results


async def uploaded(service: ServiceUnderTest, **fields: Any) -> str:
    """The id of a session with uploaded bytes."""
    started = await service.start(**FILE, **fields)
    assert await service.send(started.target, BODY) < 300
    return started.session.attachment_id


@pytest.mark.parametrize("kind", PERMITTED)
@pytest.mark.parametrize("method", sorted(RULES))
@pytest.mark.bad_input
@pytest.mark.sample(6)
async def test_a_token_may_call_these_methods_only(
    service: ServiceUnderTest, method: str, kind: str
) -> None:
    call: Any = service.channel.unary_unary(method)
    credential = await credential_of(service, kind)
    asked = call(b"\xff", metadata=bearing(service, credential).metadata)
    refused = await failure(asked)
    if method.rpartition("/")[2] in PERMITTED[kind]:
        assert refused.reason == "MALFORMED_REQUEST"
    else:
        assert refused.reason == "SCOPE_MISSING"
        assert refused.facts["scope"] == RULES[method].scope


async def test_a_participant_uploads_and_the_session_shows_its_subject(
    service: ServiceUnderTest,
) -> None:
    visitor = await connected(service, "visitor-1")
    started = await visitor.start(tenant_id="", **FILE)
    session = started.session
    assert (session.tenant_id, session.subject) == (TENANT, "visitor-1")
    assert session.created_by == "tester"
    # Its own credential suffices, and a revocation must leave it no other.
    assert started.session_token == ""
    assert await visitor.send(started.target, BODY) < 300
    completed = await visitor.complete(session.attachment_id, request_id="once")
    assert completed.session.subject == "visitor-1"
    assert await visitor.complete(session.attachment_id, request_id="once") == completed
    assert (await visitor.get(session.attachment_id)).state == res.UPLOAD_SESSION_STATE_READY
    assert (await service.get(session.attachment_id)).subject == "visitor-1"
    assert (await service.start()).session.subject == ""


async def test_the_history_names_creator_and_subject(service: ServiceUnderTest) -> None:
    visitor = await connected(service, "visitor-1")
    attachment_id = await uploaded(visitor)
    assert (await batch(visitor, attachment_id))[0].status.code == 0
    cancelled = (await visitor.start()).session.attachment_id
    await visitor.cancel(cancelled)
    for each in (attachment_id, cancelled):
        actors = await service.database.fetch(
            "SELECT actor FROM session_events WHERE attachment_id = $1", each
        )
        assert [row["actor"] for row in actors] == ["tester/visitor-1"] * 2


async def test_every_token_of_a_subject_sees_its_sessions(service: ServiceUnderTest) -> None:
    first, second = await connected(service, "same"), await connected(service, "same")
    attachment_id = await uploaded(first)
    assert (await second.complete(attachment_id)).session.subject == "same"


async def test_with_the_scope_a_participant_reads_attachments_of_its_tenant(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    async with AttacheryClient(
        service.target, api_key=(await create(service, "reader", scopes=READ)).token
    ) as client:
        assert await client.download(attachment_id) == b"hello\n"
    foreign = bearing(service, await service.new_key(tenants=["other"]))
    reader = await connected(foreign, "reader", scopes=READ)
    request = apb.GetAttachmentRequest(attachment_id=attachment_id)
    call = reader.attachments.GetAttachment(request, metadata=reader.metadata)
    assert (await failure(call)).reason == "ATTACHMENT_NOT_FOUND"


@pytest.mark.parametrize("name", BY_ID)
@pytest.mark.parametrize("other", ["a key", "another subject"])
@pytest.mark.bad_input
async def test_a_foreign_session_is_refused_byte_for_byte_like_an_unknown_one(
    service: ServiceUnderTest, name: str, other: str
) -> None:
    owner = service if other == "a key" else await connected(service, "owner")
    foreign, call = await uploaded(owner), BY_ID[name]
    visitor = await connected(service, "visitor")
    refused, unknown = await failure(call(visitor, foreign)), await failure(call(visitor, UNKNOWN))
    assert refused.reason == "ATTACHMENT_NOT_FOUND"
    assert same(refused, unknown, foreign)
    assert await service.events(foreign) == ["pending"]


async def test_a_foreign_session_in_a_batch_is_like_an_unknown_one(
    service: ServiceUnderTest,
) -> None:
    visitor = await connected(service, "visitor")
    foreign, own = await uploaded(service), await uploaded(visitor)
    first, *others = await batch(visitor, own, foreign, UNKNOWN)
    assert first.response.session.state == res.UPLOAD_SESSION_STATE_READY
    refused, unknown = (each.SerializeToString() for each in others)
    assert refused == unknown.replace(UNKNOWN.encode(), foreign.encode())
    assert await service.events(foreign) == ["pending"]


async def test_the_same_subject_of_another_tenant_is_another_participant(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(await connected(service, "same"))
    elsewhere = bearing(service, await service.new_key(tenants=["other"]))
    same_name = await connected(elsewhere, "same")
    request = upb.GetUploadSessionRequest(attachment_id=attachment_id)
    call = same_name.uploads.GetUploadSession(request, metadata=same_name.metadata)
    assert (await failure(call)).reason == "ATTACHMENT_NOT_FOUND"
    request.tenant_id = TENANT
    call = same_name.uploads.GetUploadSession(request, metadata=same_name.metadata)
    assert (await failure(call)).reason == "TENANT_DENIED"


async def test_request_ids_of_different_callers_never_meet(service: ServiceUnderTest) -> None:
    callers = [service, *[await connected(service, name) for name in ("a", "b", "a/b")]]
    # At once, so that they share statements.
    starts = [caller.start(request_id="guess", **FILE) for caller in callers]
    started = await asyncio.gather(*starts)
    ids = [each.session.attachment_id for each in started]
    assert len(set(ids)) == len(callers)
    for caller, each, attachment_id in zip(callers, started, ids, strict=True):
        again = await caller.start(request_id="guess", **FILE)
        assert again.session.attachment_id == attachment_id
        assert await caller.send(each.target, BODY) < 300
    completes = [
        caller.complete(i, request_id="guess") for caller, i in zip(callers, ids, strict=True)
    ]
    assert len({each.session.attachment_id for each in await asyncio.gather(*completes)}) == len(
        ids
    )


async def test_a_guessed_request_id_reveals_nothing_about_a_session(
    service: ServiceUnderTest,
) -> None:
    visitor = await connected(service, "visitor")
    foreign, own = await uploaded(service), await uploaded(visitor)
    await service.complete(foreign, request_id="guessed")
    await batch(service, await uploaded(service), request_id="guessed")
    unknown = await failure(visitor.complete(UNKNOWN, request_id="guessed"))
    refused = await failure(visitor.complete(foreign, request_id="guessed"))
    assert same(refused, unknown, foreign)
    # The id is unused by this subject, in a batch too.
    (answer,) = await batch(visitor, own, request_id="guessed")
    assert answer.response.session.subject == "visitor"
    refused = await failure(visitor.cancel(foreign, request_id="guessed"))
    assert refused.reason == "ATTACHMENT_NOT_FOUND"
    # Also if it is used by this subject, for another session.
    await visitor.complete(await uploaded(visitor), request_id="used")
    refused = await failure(visitor.complete(foreign, request_id="used"))
    assert refused.reason == "ATTACHMENT_NOT_FOUND"


PURPOSES = """
[default]
max_size = 100

[avatar]
allowed_content_types = ["image/*"]
"""


@pytest.fixture
def purposes(tmp_path: Path) -> Path:
    path = tmp_path / "purposes.toml"
    path.write_text(PURPOSES, encoding="utf-8")
    return path


@pytest.mark.bad_input
async def test_a_session_needs_a_purpose_of_the_token(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes)
    visitor = await connected(service, "visitor", purposes=["avatar"])
    for purpose in ("", "default", "unknown"):
        refused = await failure(visitor.start(purpose=purpose, filename="a/b", size_bytes=10**9))
        assert (refused.reason, refused.violations) == ("PURPOSE_DENIED", [])
        assert refused.facts["httpStatus"] == "403"
    refused = await failure(visitor.start(purpose="avatar"))
    assert refused.reason == "CONTENT_TYPE_NOT_ALLOWED"
    started = await visitor.start(purpose="avatar", content_type="image/png")
    assert started.session.purpose == "avatar"
    both = await connected(service, "visitor", purposes=["avatar", "default"])
    assert (await both.start(purpose="")).session.purpose == "default"
    # A repeated Start needs the purpose too.
    await both.start(request_id="once")
    refused = await failure(visitor.start(request_id="once"))
    assert refused.reason == "PURPOSE_DENIED"


async def test_a_purpose_that_is_gone_is_unknown_to_older_tokens(
    make_service: MakeService, purposes: Path
) -> None:
    service, without = await make_service(purposes=purposes), await make_service()
    token = (await create(service, "visitor", purposes=["avatar"])).token
    refused = await failure(bearing(without, token).start(purpose="avatar"))
    assert refused.reason == "INVALID_PURPOSE"


async def test_the_rights_of_a_token_can_be_read(service: ServiceUnderTest) -> None:
    created = await create(service, "visitor-1", scopes=READ, ttl=timedelta(minutes=5))
    async with AttacheryClient(service.target, api_key=created.token) as client:
        caller = await client.get_caller()
    connection = pb.Connection(tenant_id=TENANT, subject="visitor-1", purposes=["default"])
    assert caller.connection == connection
    assert (caller.name, list(caller.tenant_ids)) == ("tester", [TENANT])
    assert list(caller.scopes) == [*READ, "uploads.complete", "uploads.create", "uploads.read"]
    assert caller.expire_time == created.expire_time
    left = created.expire_time.ToDatetime(UTC) - await service.database.fetchval("SELECT now()")
    assert timedelta(minutes=4) < left <= created.ttl.ToTimedelta() == timedelta(minutes=5)


async def test_a_token_is_short_and_printable(service: ServiceUnderTest) -> None:
    for subject in ("v", "~!" * 64):
        token = (await create(service, subject, scopes=READ)).token
        assert token.startswith("attc_")
        assert token.isascii()
        assert token.isprintable()
        assert len(token) <= 1000


@pytest.mark.bad_input
async def test_purposes_that_make_a_token_too_long_are_refused(
    make_service: MakeService, tmp_path: Path
) -> None:
    names = [f"{n:064}" for n in range(20)]
    path = tmp_path / "purposes.toml"
    path.write_text("".join(f"[{name}]\n" for name in names), encoding="utf-8")
    service = await make_service(purposes=path)
    refused = await failure(create(service, "v", purposes=names))
    assert refused.violations == [("purposes", "INVALID_PURPOSES")]
    assert len((await create(service, "s" * 128, purposes=names[:4])).token) <= 1000


@pytest.mark.bad_input
@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tenant_id", "../x", "TENANT_DENIED"),
        ("subject", "", "INVALID_SUBJECT"),
        ("subject", "a b", "INVALID_SUBJECT"),
        ("subject", "ü", "INVALID_SUBJECT"),
        ("subject", "a\n", "INVALID_SUBJECT"),
        ("subject", "x" * 129, "INVALID_SUBJECT"),
        ("ttl", timedelta(seconds=59), "INVALID_TTL"),
        ("ttl", timedelta(0), "INVALID_TTL"),
        ("ttl", timedelta(hours=24, microseconds=1), "INVALID_TTL"),
        ("ttl", Duration(seconds=2**62), "INVALID_TTL"),
        ("ttl", Duration(seconds=60, nanos=-1), "INVALID_TTL"),
        ("purposes", [], "INVALID_PURPOSES"),
        ("purposes", [""], "INVALID_PURPOSES"),
        ("purposes", ["default", "unknown"], "INVALID_PURPOSES"),
        ("purposes", ["default"] * 21, "INVALID_PURPOSES"),
        ("scopes", ["admin"], "INVALID_SCOPES"),
        ("scopes", ["connections.create"], "INVALID_SCOPES"),
        ("scopes", ["attachments.read", ""], "INVALID_SCOPES"),
        ("scopes", ["uploads.*"], "INVALID_SCOPES"),
    ],
)
async def test_a_bad_field_is_refused_with_its_reason(
    service: ServiceUnderTest, field: str, value: object, reason: str
) -> None:
    fields: dict[str, Any] = {"subject": "visitor", field: value}
    refused = await failure(create(service, **fields))
    assert refused.reason == reason
    assert refused.violations in ([], [(field, reason)])


async def test_redundant_scopes_and_repeated_names_are_accepted(service: ServiceUnderTest) -> None:
    scopes = ["uploads.create", "uploads.complete", "uploads.read", "uploads.read"]
    visitor = await connected(service, "visitor", scopes=scopes, purposes=["default"] * 2)
    assert (await visitor.start()).session.subject == "visitor"


@pytest.mark.bad_input
async def test_creating_and_revoking_need_their_scope(service: ServiceUnderTest) -> None:
    key = await service.new_key(scopes=set(Scope) - {Scope.CONNECTIONS_CREATE})
    assert (await failure(create(bearing(service, key), "v"))).reason == "SCOPE_MISSING"
    key = await service.new_key(scopes=[Scope.CONNECTIONS_CREATE])
    assert (await create(bearing(service, key), "v")).token


async def test_one_participant_does_not_use_up_the_limit_of_another(
    make_service: MakeService,
) -> None:
    service = await make_service(rate_limit_write="4/day")
    one, same_one = await connected(service, "one"), await connected(service, "one")
    two = await connected(service, "two")
    for caller in (one, same_one, one, one):
        await caller.start()
    assert (await failure(same_one.start())).reason == "RATE_LIMITED"
    await two.start()
    await service.start()  # the fourth call of the key, after three tokens
    assert (await failure(service.start())).reason == "RATE_LIMITED"


def same(refused: Failure, unknown: Failure, attachment_id: str) -> bool:
    """Whether both are equal, but for the id in the request."""
    expected = unknown.status.SerializeToString().replace(UNKNOWN.encode(), attachment_id.encode())
    return refused.status.SerializeToString() == expected
