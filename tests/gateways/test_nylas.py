"""Nylas' own client uploads attachments to Attachery behind the gateway, unmodified."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from nylas.models.errors import NylasApiError

from attachery_service.domain.identity import Scope
from support.gateway_fixtures import FragileService, MakeGateway, RunningGateway
from support.nylas_calls import (
    BODY,
    UNKNOWN,
    Caller,
    caller_of,
    calls_of,
    file,
    httpx_of,
    id_of,
    ids_of,
    put,
    refused,
    session_at,
)
from support.service_fixtures import TENANT, ServiceUnderTest

pytestmark = pytest.mark.xdist_group("gateways")


@pytest.mark.requirement("N1", "N2", "N3", "N4", "N15", "N16", "A4", "A5", "A16")
async def test_a_large_attachment_is_uploaded_completed_drafted_and_downloaded(
    caller: Caller,
) -> None:
    session = await caller.create_session(
        filename="report.pdf", content_type='application/pdf; name="report.pdf"', size=len(BODY)
    )
    assert (session.method, session.size, session.max_size) == ("PUT", len(BODY), 157_286_400)
    assert (session.filename, session.grant_id) == ("report.pdf", TENANT)
    assert session.content_type == 'application/pdf; name="report.pdf"'
    assert session.expires_at
    lifetime = datetime.fromisoformat(session.expires_at) - datetime.now(UTC)
    assert timedelta(minutes=59) < lifetime <= timedelta(hours=1)
    assert await put(session) == 200

    completed = await caller.complete(id_of(session))

    assert completed.to_dict() == {
        "attachment_id": session.attachment_id,
        "grant_id": TENANT,
        "status": "ready",
    }
    draft = await caller.create_draft(
        subject="Report",
        to=[{"name": "Leyah", "email": "leyah@example.com"}],
        attachments=[{"id": session.attachment_id}],
    )
    assert draft.attachments
    (listed,) = draft.attachments
    assert listed == await caller.find(id_of(session))
    assert vars(listed) == {
        "id": session.attachment_id,
        "grant_id": TENANT,
        "filename": "report.pdf",
        "content_type": 'application/pdf; name="report.pdf"',
        "size": len(BODY),
        "content_id": "",
        "content_disposition": "attachment; filename=\"report.pdf\"; filename*=UTF-8''report.pdf",
        "is_inline": False,
    }
    assert await caller.find_draft(id_of(draft)) == draft
    assert await caller.download(id_of(session)) == BODY


@pytest.mark.exhaustive
@pytest.mark.requirement("N3", "N11")
async def test_a_session_without_a_size_takes_any_bytes_but_none(caller: Caller) -> None:
    session = await caller.create_session()
    assert (session.method, session.size) == ("PUT", 0)
    assert await put(session, b"any") == 200
    assert (await caller.complete(id_of(session))).status == "ready"
    assert (await caller.find(id_of(session))).size == 3

    empty = await caller.create_session()
    assert await put(empty, b"") == 200
    await refused(422, caller.complete(id_of(empty)))
    await refused(409, caller.complete(id_of(empty)))


@pytest.mark.exhaustive
@pytest.mark.requirement("N7")
async def test_a_session_is_completed_once(caller: Caller) -> None:
    attachment_id = await caller.ready()
    error = await refused(409, caller.complete(attachment_id))
    assert str(error) == "upload session is already complete"
    assert (await session_at(caller, attachment_id))["status"] == "ready"


@pytest.mark.exhaustive
@pytest.mark.requirement("N7")
async def test_one_of_many_completions_at_a_time_succeeds(caller: Caller) -> None:
    session = await caller.create_session(size=len(BODY))
    assert await put(session) == 200
    calls = [caller.complete(id_of(session)) for _ in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, NylasApiError)]
    assert [refusal.status_code for refusal in refusals] == [409] * 7
    (completed,) = [one for one in answers if not isinstance(one, BaseException)]
    assert completed.status == "ready"


@pytest.mark.exhaustive
@pytest.mark.requirement("N2", "N9")
async def test_a_session_without_bytes_stays_completable(caller: Caller) -> None:
    session = await caller.create_session(size=len(BODY))
    error = await refused(422, caller.complete(id_of(session)))
    assert str(error) == "uploaded object not found in storage"
    assert (await session_at(caller, id_of(session)))["status"] == "uploading"
    await refused(409, caller.download(id_of(session)))
    assert await put(session) == 200
    assert (await caller.complete(id_of(session))).status == "ready"


@pytest.mark.exhaustive
@pytest.mark.requirement("N3", "N7", "N10", "N11")
@pytest.mark.parametrize("body", [b"", b"longer than declared"])
async def test_bytes_of_another_size_fail_the_session(
    caller: Caller, gateway_service: ServiceUnderTest, body: bytes
) -> None:
    session = await caller.create_session(size=len(BODY))
    # The signed URL accepts the declared size only, so another way into the bucket is taken.
    key = urlsplit(session.url or "").path.removeprefix(f"/{gateway_service.bucket}/")
    await gateway_service.s3.put_object(
        Bucket=gateway_service.bucket, Key=key, Body=body, ContentType="text/plain"
    )
    await refused(422, caller.complete(id_of(session)))
    assert (await session_at(caller, id_of(session)))["status"] == "failed"
    await refused(409, caller.complete(id_of(session)))


@pytest.mark.exhaustive
@pytest.mark.requirement("N8")
async def test_a_session_past_its_deadline_is_gone(
    caller: Caller, gateway_service: ServiceUnderTest
) -> None:
    session = await caller.create_session(size=len(BODY))
    assert await put(session) == 200
    await gateway_service.age(id_of(session), timedelta(hours=1))
    error = await refused(410, caller.complete(id_of(session)))
    assert str(error) == "upload session has expired"
    assert (await session_at(caller, id_of(session)))["status"] == "expired"
    await refused(410, caller.create_draft(attachments=[{"id": id_of(session)}]))


@pytest.mark.exhaustive
@pytest.mark.requirement("N8", "N13", "N14")
async def test_bytes_are_gone_an_hour_after_the_creation_but_not_their_metadata(
    caller: Caller, gateway_service: ServiceUnderTest
) -> None:
    attachment_id = await caller.ready()
    await gateway_service.age(attachment_id, timedelta(hours=1))
    await refused(410, caller.download(attachment_id))
    await refused(410, caller.create_draft(attachments=[{"id": attachment_id}]))
    await refused(409, caller.complete(attachment_id))
    assert (await caller.find(attachment_id)).size == len(BODY)


@pytest.mark.exhaustive
@pytest.mark.requirement("N5")
async def test_an_unknown_key_is_refused_with_the_error_of_the_provider(
    nylas_gateway: RunningGateway, caller: Caller
) -> None:
    attachment_id = await caller.ready()
    unknown = caller_of(nylas_gateway, "nyk_unknown")
    for call in calls_of(unknown, attachment_id, "draft-" + UNKNOWN):
        error = await refused(401, call)
        assert error.provider_error == {"reason": "CREDENTIALS_INVALID", "metadata": {}}


@pytest.mark.exhaustive
@pytest.mark.requirement("N1", "N6")
async def test_a_grant_of_another_tenant_is_like_an_unknown_one(
    caller: Caller, stranger: Caller
) -> None:
    attachment_id = await caller.ready()
    draft = await caller.create_draft(attachments=[{"id": attachment_id}])
    for grant in (caller.grant, "unknown", "no tenant"):
        intruder = replace(stranger, grant=grant)
        for call in calls_of(intruder, attachment_id, id_of(draft)):
            await refused(404, call)
        await refused(404, intruder.create_session())
        await refused(404, intruder.create_draft(subject="Mine"))
    assert ids_of(await caller.find_draft(id_of(draft))) == [attachment_id]


@pytest.mark.exhaustive
@pytest.mark.requirement("N1", "N6", "A5")
async def test_an_id_of_another_tenant_is_like_an_unknown_one(
    caller: Caller, stranger: Caller
) -> None:
    attachment_id = await caller.ready()
    draft = await caller.create_draft(attachments=[{"id": attachment_id}])
    own = await stranger.create_draft(subject="Mine")
    others = [(attachment_id, id_of(draft)), (UNKNOWN, "draft-" + UNKNOWN), ("unknown", "unknown")]
    others += [("é", "draft-é"), ("x" * 200, "draft-" + "x" * 200)]
    for unknown, unknown_draft in others:
        for call in calls_of(stranger, unknown, unknown_draft):
            await refused(404, call)
        await refused(404, stranger.update_draft(id_of(own), attachments=[{"id": unknown}]))
    assert ids_of(await stranger.find_draft(id_of(own))) == []
    assert ids_of(await caller.find_draft(id_of(draft))) == [attachment_id]


@pytest.mark.exhaustive
async def test_each_method_needs_its_scope(
    caller: Caller, nylas_gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    attachment_id = await caller.ready()
    draft = await caller.create_draft(attachments=[{"id": attachment_id}])
    nothing = caller_of(
        nylas_gateway, await gateway_service.new_key(scopes=[Scope.ATTACHMENTS_DELETE])
    )
    for call in calls_of(nothing, attachment_id, id_of(draft)):
        await refused(403, call)
    await refused(403, nothing.create_session())
    await refused(403, nothing.create_draft())


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", None),
        ("filename", ""),
        ("filename", "a/b"),
        ("filename", 1),
        ("content_type", None),
        ("content_type", ""),
        ("size", 0),
        ("size", -1),
        ("size", 157_286_401),
        ("size", 2**64),
        ("size", "6"),
        ("size", True),
    ],
)
async def test_an_invalid_session_is_refused(caller: Caller, field: str, value: object) -> None:
    await refused(400, caller.create_session(**{field: value}))


@pytest.mark.exhaustive
@pytest.mark.requirement("N12")
async def test_an_outage_is_an_internal_error_and_loses_nothing(
    make_gateway: MakeGateway, fragile_service: FragileService
) -> None:
    gateway = await make_gateway("nylas", fragile_service.service)
    caller = caller_of(gateway, fragile_service.service.api_key)
    session = await caller.create_session(size=len(BODY))
    assert await put(session) == 200
    for dependency in (fragile_service.storage, fragile_service.database):
        dependency.cut()
        await refused(500, caller.complete(id_of(session)))
        await refused(500, caller.create_draft(attachments=[file(b"hi")]))
        dependency.release()
        async with asyncio.timeout(30), httpx_of(caller) as http:  # until it counts as healthy
            while (await http.get(f"/attachment-uploads/{id_of(session)}")).status_code != 200:
                pass
    assert (await caller.complete(id_of(session))).status == "ready"


@pytest.mark.exhaustive
@pytest.mark.requirement("N4")
async def test_a_completion_needs_no_body(caller: Caller) -> None:
    session = await caller.create_session(size=len(BODY))
    assert await put(session) == 200
    async with httpx_of(caller) as http:
        sent = await http.post(f"/attachment-uploads/{id_of(session)}/complete")
    assert (sent.status_code, sent.json()["data"]["status"]) == (200, "ready")
