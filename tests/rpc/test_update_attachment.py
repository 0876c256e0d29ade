"""UpdateAttachment: corrects the fields that its mask names, and never the bytes."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import grpc
import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery.v1.upload_sessions_pb2 import ListUploadSessionsRequest
from attachery_service.domain.identity import ALL_SCOPES, Scope
from support.failures import failure
from support.holding import get, take
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.updating import facts_of_updates, update, updating

INLINE = resources_pb2.DISPOSITION_INLINE
ATTACHMENT = resources_pb2.DISPOSITION_ATTACHMENT
UNKNOWN = "01890000-0000-7000-8000-000000000000"
BODY = b"hello\n"
NEW: dict[str, Any] = {
    "filename": "ne\u0301w.txt",
    "content_id": "<logo@mail>",
    "disposition": INLINE,
    "is_inline": False,
    "metadata": {"b": "2"},
    "object_retention": timedelta(days=2),
    "metadata_retention": timedelta(days=90),
}


async def delete(service: ServiceUnderTest, attachment_id: str) -> None:
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)


async def resolve(service: ServiceUnderTest, attachment_id: str) -> pb.ResolveAttachmentResult:
    request = pb.ResolveAttachmentsRequest(
        tenant_id=TENANT, attachment_ids=[attachment_id], include_download_urls=True
    )
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return answer.results[0]


async def listed(service: ServiceUnderTest) -> list[resources_pb2.UploadSession]:
    request = ListUploadSessionsRequest(tenant_id=TENANT)
    answer = await service.uploads.ListUploadSessions(request, metadata=service.metadata)
    return list(answer.sessions)


async def test_all_named_fields_change_and_every_read_shows_them(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(metadata={"a": "1"})
    before = await get(service, attachment_id)
    updated = await update(service, attachment_id, **NEW)
    assert (updated.filename, updated.content_id) == ("n\u00e9w.txt", "logo@mail")
    assert updated.content_disposition.startswith("inline; filename=")
    assert (updated.disposition, updated.is_inline) == (INLINE, False)
    assert updated.metadata == {"b": "2"}
    created = updated.create_time.ToDatetime()
    assert updated.object_purge_time.ToDatetime() - created == timedelta(days=2)
    assert updated.metadata_purge_time.ToDatetime() - created == timedelta(days=90)
    assert updated.revision == before.revision + 1
    assert updated.update_time.ToDatetime() > before.update_time.ToDatetime()
    assert await get(service, attachment_id) == updated
    assert (await resolve(service, attachment_id)).attachment == updated
    session = await service.get(attachment_id)
    assert await listed(service) == [session]
    for name in (*NEW.keys() - {"object_retention", "metadata_retention"}, "revision"):
        assert getattr(session, name) == getattr(updated, name)


@pytest.mark.sample(3)
@pytest.mark.parametrize("path", NEW)
async def test_a_field_that_is_not_named_stays(service: ServiceUnderTest, path: str) -> None:
    attachment_id = await service.ready(content_id="first", metadata={"a": "1"})
    before = await get(service, attachment_id)
    values: dict[str, Any] = {path: ATTACHMENT if path == "disposition" else NEW[path]}
    after = await update(service, attachment_id, **values)
    kinds = {"object_retention": "object_purge_time", "metadata_retention": "metadata_purge_time"}
    changed = {
        field.name
        for field in after.DESCRIPTOR.fields
        if getattr(after, field.name) != getattr(before, field.name)
    }
    derived = {"content_disposition"} if path in ("filename", "disposition") else set()
    # The metadata is kept for longer than two days already.
    assert changed == {kinds.get(path, path), "revision", "update_time", *derived}
    facts = {"cause": "update", "changedFields": [path]}
    assert [json.loads(row) for row in await facts_of_updates(service, attachment_id)] == [facts]


async def test_named_fields_without_a_value_get_the_defaults_of_start(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(**NEW)
    unset = await update(service, attachment_id, ["content_id", "metadata"])
    assert (unset.content_id, dict(unset.metadata)) == ("", {})
    # As before: neither was named.
    assert (unset.disposition, unset.is_inline) == (INLINE, False)
    reset = await update(service, attachment_id, ["is_inline"])
    assert reset.is_inline
    reset = await update(service, attachment_id, ["disposition", "is_inline"])
    assert (reset.disposition, reset.is_inline) == (ATTACHMENT, False)
    reset = await update(service, attachment_id, ["disposition", "content_id"], content_id="a")
    assert (reset.disposition, reset.is_inline) == (INLINE, False)
    kept = await update(service, attachment_id, ["object_retention", "metadata_retention"])
    created = kept.create_time.ToDatetime()
    assert kept.object_purge_time.ToDatetime() - created == timedelta(hours=1)
    assert kept.metadata_purge_time.ToDatetime() - created == timedelta(days=60)


async def test_a_row_of_an_old_release_stays_inline_by_its_own_disposition(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(content_id="a")
    await service.database.execute("UPDATE upload_sessions SET is_inline = NULL")
    assert (await update(service, attachment_id, disposition=ATTACHMENT)).is_inline


async def test_a_download_has_the_new_name_and_the_same_bytes(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(BODY)
    before = await resolve(service, attachment_id)
    await update(service, attachment_id, filename="corrected.txt")
    request = pb.CreateDownloadUrlRequest(tenant_id=TENANT, attachment_id=attachment_id)
    signed = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    after = await resolve(service, attachment_id)
    for url in (signed.url, after.download.url):
        async with service.http.get(url) as answer:
            assert await answer.read() == BODY
            assert 'filename="corrected.txt"' in answer.headers["Content-Disposition"]
    assert after.attachment.storage == before.attachment.storage
    # A URL that was signed before keeps the old name.
    async with service.http.get(before.download.url) as answer:
        assert 'filename="hello.txt"' in answer.headers["Content-Disposition"]


async def test_every_server_shows_it_at_once(make_service: MakeService) -> None:
    service, other = await make_service(), await make_service()
    attachment_id = await service.ready()
    for server in (service, other):
        for _ in range(2):
            assert (await resolve(server, attachment_id)).attachment.revision == 2
    updated = await update(other, attachment_id, filename="corrected.txt")
    for server in (service, other):
        assert (await resolve(server, attachment_id)).attachment == updated
        assert await get(server, attachment_id) == updated
    updated = await update(service, attachment_id, metadata={"a": "1"})
    for server in (service, other):
        (held,) = (await take(server, attachment_id)).results
        assert held.attachment.metadata == {"a": "1"}
        assert held.attachment.revision == updated.revision


async def test_an_update_that_changes_nothing_keeps_the_revision(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(**NEW)
    before = await get(service, attachment_id)
    assert await update(service, attachment_id, **NEW, expected_revision=2) == before
    assert await get(service, attachment_id) == before
    assert await facts_of_updates(service, attachment_id) == []
    # The history names the fields that change, not those in the mask.
    await update(service, attachment_id, **{**NEW, "filename": "b"})
    (facts,) = await facts_of_updates(service, attachment_id)
    assert json.loads(facts)["changedFields"] == ["filename"]


async def test_the_history_has_the_actor_and_no_value(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(filename="0ld.txt", metadata={"0ld": "0ld"})
    values: dict[str, Any] = {
        "filename": "n3w.txt",
        "content_id": "n3w",
        "metadata": {"n3w": "n3w"},
    }
    await update(service, attachment_id, **values, request_id="r-1")
    row = await service.database.fetchrow("SELECT * FROM session_events WHERE revision = 3")
    assert row is not None
    assert (row["actor"], row["request_id"], row["state"]) == ("tester", "r-1", "ready")
    assert json.loads(row["facts"])["changedFields"] == ["filename", "content_id", "metadata"]
    for table in ("session_events", "request_outcomes"):
        rows = await service.database.fetch(f"SELECT t::text AS t FROM {table} AS t")  # noqa: S608
        assert not [row["t"] for row in rows if "0ld" in row["t"] or "n3w" in row["t"]]


async def test_another_revision_than_the_expected_one_is_refused(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    updated = await update(service, attachment_id, filename="b", expected_revision=2)
    assert updated.revision == 3
    for expected in (2, 4, 2**63 - 1):
        call = update(service, attachment_id, filename="c", expected_revision=expected)
        refused = await failure(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
        assert refused.facts["httpStatus"] == "409"
        assert refused.facts["expectedRevision"] == str(expected)
        assert refused.facts["actualRevision"] == "3"
        assert "RetryInfo" not in refused.kinds
    assert await get(service, attachment_id) == updated


async def test_a_repeat_takes_effect_once_and_answers_the_current_attachment(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    first = await update(
        service, attachment_id, filename="b", expected_revision=2, request_id="r-1"
    )
    again = updating(attachment_id, filename="b", expected_revision=2, request_id="r-1")
    assert first.revision == 3
    later = await update(service, attachment_id, filename="c")
    answer = await service.attachments.UpdateAttachment(again, metadata=service.metadata)
    assert answer.attachment == later
    await delete(service, attachment_id)
    answer = await service.attachments.UpdateAttachment(again, metadata=service.metadata)
    assert answer.attachment == await get(service, attachment_id)
    assert await service.events(attachment_id) == ["pending", "ready", "ready", "ready", "deleted"]


async def test_a_repeat_of_an_update_without_effect_never_takes_effect(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(filename="a")
    await update(service, attachment_id, filename="a", request_id="r-1")
    await update(service, attachment_id, filename="b")
    assert (await update(service, attachment_id, filename="a", request_id="r-1")).filename == "b"


async def test_a_request_id_is_bound_to_its_payload(service: ServiceUnderTest) -> None:
    attachment_id, other = await service.ready(), await service.ready()
    sent: dict[str, Any] = {"content_id": "a", "is_inline": False, "request_id": "r-1"}
    await update(service, attachment_id, **sent)
    # The order of the mask, and the brackets, make no other payload.
    again = {**sent, "content_id": "<a>"}
    assert (await update(service, attachment_id, ["is_inline", "content_id"], **again)).revision
    for changes in (
        {"content_id": "b"},
        {"is_inline": True},
        {"metadata": {"a": "1"}},
        {"expected_revision": 3},
        {"object_retention": timedelta(days=1)},
    ):
        refused = await failure(update(service, attachment_id, **{**sent, **changes}))
        assert refused.reason == "REQUEST_ID_REUSED"
    mask = ["content_id", "is_inline", "metadata"]
    assert (await failure(update(service, attachment_id, mask, **sent))).reason == (
        "REQUEST_ID_REUSED"
    )
    assert (await failure(update(service, other, **sent))).reason == "REQUEST_ID_REUSED"
    assert (await get(service, attachment_id)).revision == 3


async def test_a_refusal_is_not_stored_under_its_request_id(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    sent: dict[str, Any] = {"filename": "b", "expected_revision": 3, "request_id": "r-1"}
    assert (await failure(update(service, attachment_id, **sent))).reason == "REVISION_MISMATCH"
    await update(service, attachment_id, metadata={"a": "1"})
    assert (await update(service, attachment_id, **sent)).filename == "b"


async def test_only_a_ready_attachment_is_updated(service: ServiceUnderTest) -> None:
    pending, cancelled, expired, failed = [
        await service.start(size_bytes=len(BODY)) for _ in range(4)
    ]
    await service.cancel(cancelled.session.attachment_id)
    await service.age(expired.session.attachment_id, timedelta(hours=1))
    await service.send(failed.target, BODY)
    await failure(service.complete(failed.session.attachment_id, size_bytes=5))
    deleted, purged = await service.ready(), await service.ready()
    await delete(service, deleted)
    await service.age(purged, timedelta(hours=1))
    for attachment_id, reason in (
        (pending.session.attachment_id, "UPLOAD_NOT_READY"),
        (cancelled.session.attachment_id, "UPLOAD_CANCELLED"),
        (expired.session.attachment_id, "UPLOAD_EXPIRED"),
        (failed.session.attachment_id, "UPLOAD_FAILED"),
        (deleted, "OBJECT_PURGED"),
        (purged, "OBJECT_PURGED"),
        (UNKNOWN, "ATTACHMENT_NOT_FOUND"),
    ):
        # The state precedes the revision.
        refused = await failure(update(service, attachment_id, filename="b", expected_revision=9))
        assert refused.reason == reason
        assert not await facts_of_updates(service, attachment_id)


async def test_an_attachment_of_another_tenant_is_not_found(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    key = await service.new_key(tenants=["other"])
    request = updating(attachment_id, filename="b", tenant_id="other")
    theirs = (("authorization", f"Bearer {key}"),)
    call = service.attachments.UpdateAttachment(request, metadata=theirs)
    assert (await failure(call)).reason == "ATTACHMENT_NOT_FOUND"
    assert (await get(service, attachment_id)).revision == 2


async def test_it_needs_the_right_to_update(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=len(BODY))
    await service.send(started.target, BODY)
    attachment_id = started.session.attachment_id
    await service.complete(attachment_id)
    lesser = await service.new_key(scopes=ALL_SCOPES - {Scope.ATTACHMENTS_UPDATE})
    for credential in (lesser, started.session_token):
        metadata = (("authorization", f"Bearer {credential}"),)
        request = updating(attachment_id, filename="b")
        refused = await failure(service.attachments.UpdateAttachment(request, metadata=metadata))
        assert (refused.reason, refused.facts["scope"]) == ("SCOPE_MISSING", "attachments.update")


async def test_a_call_cancelled_during_the_update_still_updates(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    async with service.row_locked(attachment_id):
        request = updating(attachment_id, filename="b")
        call = service.attachments.UpdateAttachment(request, metadata=service.metadata)
        await service.until_blocked(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    async with asyncio.timeout(5):
        while (await get(service, attachment_id)).filename != "b":  # noqa: ASYNC110
            await asyncio.sleep(0)
