"""DeleteAttachment: deletes the bytes at once, keeps the metadata, and takes effect once."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery.v1.upload_sessions_pb2 import GetUploadPolicyRequest, ListUploadSessionsRequest
from attachery_service.domain.identity import ALL_SCOPES, Scope
from support.failures import failure
from support.proxy import proxy_of
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest
from support.sweep_fixtures import Sweeper

READY = resources_pb2.UPLOAD_SESSION_STATE_READY
DELETED = resources_pb2.UPLOAD_SESSION_STATE_DELETED
UNKNOWN = "01890000-0000-7000-8000-000000000000"
BODY = b"hello\n"


def deleting(attachment_id: str, **fields: Any) -> pb.DeleteAttachmentRequest:
    values = {"tenant_id": TENANT, "attachment_id": attachment_id, **fields}
    return pb.DeleteAttachmentRequest(**values)


async def delete(
    service: ServiceUnderTest, attachment_id: str, **fields: Any
) -> resources_pb2.Attachment:
    request = deleting(attachment_id, **fields)
    answer = await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    return answer.attachment


async def get(service: ServiceUnderTest, attachment_id: str) -> resources_pb2.Attachment:
    request = pb.GetAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.GetAttachment(request, metadata=service.metadata)
    return answer.attachment


async def download_url(service: ServiceUnderTest, attachment_id: str) -> str:
    request = pb.CreateDownloadUrlRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    return answer.url


async def hold(service: ServiceUnderTest, attachment_id: str, left: timedelta) -> None:
    await service.database.execute(
        "UPDATE upload_sessions SET held_until = now() + $2 WHERE attachment_id = $1",
        attachment_id,
        left,
    )


async def used(service: ServiceUnderTest) -> tuple[int, int, int]:
    request = GetUploadPolicyRequest(tenant_id=TENANT)
    answer = await service.uploads.GetUploadPolicy(request, metadata=service.metadata)
    usage = answer.usage
    return usage.pending_sessions, usage.pending_bytes, usage.stored_bytes


async def listed(service: ServiceUnderTest, state: int) -> list[str]:
    wanted = ListUploadSessionsRequest.Filter(states=[state])  # type: ignore[list-item]
    request = ListUploadSessionsRequest(tenant_id=TENANT, filter=wanted)
    answer = await service.uploads.ListUploadSessions(request, metadata=service.metadata)
    return [session.attachment_id for session in answer.sessions]


async def keys_left(service: ServiceUnderTest) -> set[str]:
    """The keys in storage, once immediate deletions are complete."""
    assert await service.app.background.drain(5)
    return await service.keys_in_store()


async def test_the_bytes_go_at_once_and_the_metadata_stays(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(BODY, content_id="logo", metadata={"a": "b"})
    before = await get(service, attachment_id)
    deleted = await delete(service, attachment_id)
    assert await keys_left(service) == set()
    assert (deleted.state, deleted.revision) == (DELETED, 3)
    assert deleted.object_purge_time == deleted.update_time
    assert await get(service, attachment_id) == deleted
    for field in ("state", "revision", "update_time", "object_purge_time", "storage"):
        before.ClearField(field)
        deleted.ClearField(field)
    assert deleted == before
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]


async def test_deleted_bytes_are_never_handed_out(service: ServiceUnderTest) -> None:
    attachment_id, other = await service.ready(), await service.ready()
    url = await download_url(service, attachment_id)
    await delete(service, attachment_id)
    await keys_left(service)
    session = await service.get(attachment_id)
    assert session.state == DELETED
    assert session.size_bytes == len(BODY)
    assert not session.HasField("expire_time")
    refused = await failure(download_url(service, attachment_id))
    assert (refused.reason, refused.facts["httpStatus"]) == ("OBJECT_PURGED", "410")
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[attachment_id, other])
    resolved = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    assert [result.status.code for result in resolved.results] == [9, 0]
    assert b"OBJECT_PURGED" in resolved.results[0].status.SerializeToString()
    for call in (service.complete(attachment_id), service.cancel(attachment_id)):
        assert (await failure(call)).reason == "UPLOAD_ALREADY_COMPLETED"
    assert await listed(service, DELETED) == [attachment_id]
    assert await listed(service, READY) == [other]
    async with service.http.get(url) as answer:
        assert answer.status == 404


async def test_of_a_copied_attachment_the_uploaded_object_goes_too(
    make_service: MakeService,
) -> None:
    service = await make_service(seal="copy")
    started = await service.start(size_bytes=len(BODY))
    assert await service.send(started.target, BODY) < 300
    await service.complete(started.session.attachment_id)
    assert len(await keys_left(service)) == 1
    # The target still works, so there is an object under its key again.
    assert await service.send(started.target, BODY) < 300
    assert len(await service.keys_in_store()) == 2
    await delete(service, started.session.attachment_id)
    assert await keys_left(service) == set()


async def test_a_deletion_releases_its_quota(make_service: MakeService) -> None:
    service = await make_service(max_stored_bytes=10)
    attachment_id = await service.ready(BODY)
    await service.start(size_bytes=4)
    assert await used(service) == (1, 4, 6)
    assert (await failure(service.start(size_bytes=6))).reason == "STORAGE_QUOTA_EXCEEDED"
    for _ in range(2):
        await delete(service, attachment_id)
        assert await used(service) == (1, 4, 0)
    assert (await service.start(size_bytes=6)).session.attachment_id


async def test_a_deletion_releases_the_quota_of_the_previous_release(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(BODY)
    await service.database.execute(
        """
        WITH unsettled AS (
            UPDATE upload_sessions SET booking = 'pending' WHERE attachment_id = $1
            RETURNING tenant_id, usage_shard, reserved_bytes, size
        )
        UPDATE tenant_usage AS u
        SET pending_sessions = u.pending_sessions + 1,
            pending_bytes = u.pending_bytes + s.reserved_bytes,
            stored_bytes = u.stored_bytes - s.size
        FROM unsettled AS s
        WHERE u.tenant_id = s.tenant_id AND u.shard = s.usage_shard
        """,
        attachment_id,
    )
    assert await used(service) == (1, 6, 0)
    await delete(service, attachment_id)
    assert await used(service) == (0, 0, 0)


async def test_an_uncounted_session_releases_no_quota(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(BODY)
    await service.database.execute(
        "UPDATE upload_sessions SET booking = NULL, usage_shard = NULL, reserved_bytes = NULL"
    )
    await delete(service, attachment_id)
    assert await used(service) == (0, 0, 6)


async def test_fifty_at_once_delete_it_once(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(BODY)
    answers = await asyncio.gather(*(delete(service, attachment_id) for _ in range(50)))
    assert all(answer == answers[0] for answer in answers)
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
    assert await used(service) == (0, 0, 0)


async def test_concurrent_deletions_release_their_exact_quota(
    service: ServiceUnderTest,
) -> None:
    ids = await asyncio.gather(*(service.ready(BODY) for _ in range(20)))
    kept = await service.ready(BODY)
    await asyncio.gather(*(delete(service, each) for each in ids))
    assert await used(service) == (0, 0, len(BODY))
    assert await listed(service, READY) == [kept]


async def test_a_repeat_has_the_same_answer(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    first = await delete(service, attachment_id, request_id="r-1")
    for again in ("r-1", "r-2", ""):
        assert await delete(service, attachment_id, request_id=again) == first
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]


async def test_a_request_id_is_bound_to_its_attachment(service: ServiceUnderTest) -> None:
    attachment_id, other = await service.ready(), await service.ready()
    await delete(service, attachment_id, request_id="r-1")
    for wanted in ({"attachment_id": other}, {"attachment_id": attachment_id, "force": True}):
        refused = await failure(delete(service, **wanted, request_id="r-1"))
        assert refused.reason == "REQUEST_ID_REUSED"
    assert (await service.get(other)).state == READY
    assert len(await keys_left(service)) == 1


async def test_a_held_attachment_is_deleted_by_force_only(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    await hold(service, attachment_id, timedelta(hours=2))
    refused = await failure(delete(service, attachment_id, request_id="r-1"))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ATTACHMENT_HELD",
    )
    until = (await service.get(attachment_id)).object_purge_time.ToDatetime()
    assert refused.facts["holdEndTime"].startswith(until.isoformat())
    assert refused.facts["httpStatus"] == "409"
    assert await service.events(attachment_id) == ["pending", "ready"]
    assert len(await keys_left(service)) == 1
    # A refusal is not stored under its request id.
    forced = await delete(service, attachment_id, request_id="r-1", force=True)
    assert forced.state == DELETED
    assert await keys_left(service) == set()


async def test_an_ended_hold_prevents_no_deletion(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    await hold(service, attachment_id, timedelta(0))
    assert (await delete(service, attachment_id)).state == DELETED


async def test_an_expired_attachment_is_deleted_before_the_sweep(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    await service.age(attachment_id, timedelta(hours=1))
    before = await get(service, attachment_id)
    assert before.state == DELETED
    deleted = await delete(service, attachment_id)
    assert deleted.object_purge_time == before.object_purge_time
    assert await keys_left(service) == set()
    assert await used(service) == (0, 0, 0)
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]


async def test_the_history_has_the_actor_and_the_cause(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    await delete(service, attachment_id, request_id="r-1", force=True)
    row = await service.database.fetchrow(
        "SELECT * FROM session_events WHERE attachment_id = $1 AND state = 'deleted'",
        attachment_id,
    )
    assert row is not None
    assert (row["actor"], row["request_id"], row["revision"]) == ("tester", "r-1", 3)
    assert json.loads(row["facts"]) == {"cause": "request", "force": True}


async def test_a_session_without_an_attachment_is_an_error_with_its_state(
    service: ServiceUnderTest,
) -> None:
    pending, cancelled, expired, failed = [
        await service.start(size_bytes=len(BODY)) for _ in range(4)
    ]
    await service.cancel(cancelled.session.attachment_id)
    await service.age(expired.session.attachment_id, timedelta(hours=1))
    await service.send(failed.target, BODY)
    await failure(service.complete(failed.session.attachment_id, size_bytes=5))
    for started, reason in (
        (pending, "UPLOAD_NOT_READY"),
        (cancelled, "UPLOAD_CANCELLED"),
        (expired, "UPLOAD_EXPIRED"),
        (failed, "UPLOAD_FAILED"),
    ):
        assert (await failure(delete(service, started.session.attachment_id))).reason == reason
    assert (await service.get(pending.session.attachment_id)).revision == 1


async def test_an_attachment_of_another_tenant_is_not_found(service: ServiceUnderTest) -> None:
    forgotten, foreign = await service.ready(), await service.ready()
    await service.age(forgotten, timedelta(days=60))
    key = await service.new_key(tenants=["other"])
    theirs = (("authorization", f"Bearer {key}"),)
    for metadata, fields in (
        (service.metadata, {"attachment_id": UNKNOWN}),
        (service.metadata, {"attachment_id": forgotten}),
        (theirs, {"attachment_id": foreign, "tenant_id": "other"}),
    ):
        call = service.attachments.DeleteAttachment(deleting(**fields), metadata=metadata)
        assert (await failure(call)).reason == "ATTACHMENT_NOT_FOUND"
    assert (await service.get(foreign)).state == READY


async def test_it_needs_the_right_to_delete(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=len(BODY))
    await service.send(started.target, BODY)
    attachment_id = started.session.attachment_id
    await service.complete(attachment_id)
    lesser = await service.new_key(scopes=ALL_SCOPES - {Scope.ATTACHMENTS_DELETE})
    for credential in (lesser, started.session_token):
        metadata = (("authorization", f"Bearer {credential}"),)
        call = service.attachments.DeleteAttachment(deleting(attachment_id), metadata=metadata)
        refused = await failure(call)
        assert (refused.reason, refused.facts["scope"]) == ("SCOPE_MISSING", "attachments.delete")
    assert (await service.get(attachment_id)).state == READY


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("attachment_id", "", "INVALID_ATTACHMENT_ID"),
        ("attachment_id", UNKNOWN.upper()[:-1] + "A", "INVALID_ATTACHMENT_ID"),
        ("request_id", "a\tb", "INVALID_REQUEST_ID"),
        ("request_id", "x" * 501, "INVALID_REQUEST_ID"),
    ],
)
async def test_a_bad_field_is_refused_with_its_reason(
    service: ServiceUnderTest, field: str, value: str, reason: str
) -> None:
    request = {"attachment_id": UNKNOWN, field: value}
    refused = await failure(delete(service, **request))
    assert refused.violations == [(field, reason)]


async def test_a_call_cancelled_during_the_update_still_deletes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    async with service.row_locked(attachment_id):
        request = deleting(attachment_id)
        call = service.attachments.DeleteAttachment(request, metadata=service.metadata)
        await service.until_blocked(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await keys_left(service) == set()
    assert (await service.get(attachment_id)).state == DELETED


@pytest.mark.parametrize("first", ["delete", "resolve"])
async def test_of_a_delete_and_a_hold_at_once_the_first_one_holds(
    service: ServiceUnderTest, first: str
) -> None:
    attachment_id = await service.ready()
    request = pb.ResolveAttachmentsRequest(
        tenant_id=TENANT, attachment_ids=[attachment_id], hold_ttl=Duration(seconds=7200)
    )
    async with service.row_locked(attachment_id):
        waiting = []
        for name in sorted(["delete", "resolve"], key=lambda name: name != first):
            call = (
                service.attachments.DeleteAttachment(
                    deleting(attachment_id), metadata=service.metadata
                )
                if name == "delete"
                else service.attachments.ResolveAttachments(request, metadata=service.metadata)
            )
            waiting.append(asyncio.ensure_future(call))
            await service.until_blocked(len(waiting))
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    resolved = [a for a in answers if isinstance(a, pb.ResolveAttachmentsResponse)]
    state = (await service.get(attachment_id)).state
    if resolved[0].HasField("hold"):
        assert [error.code() for error in refused] == [grpc.StatusCode.FAILED_PRECONDITION]
        assert state == READY
    else:
        assert not refused
        assert state == DELETED
    assert resolved[0].HasField("hold") == (first == "resolve")


async def test_silent_storage_delays_no_caller_and_the_sweep_finishes(
    make_service: MakeService, object_store: StoreUnderTest, sweeper: Sweeper
) -> None:
    async with proxy_of(object_store.endpoint) as proxy:
        service = await make_service(
            s3_endpoint=proxy.in_front_of(object_store.endpoint),
            s3_public_endpoint=object_store.endpoint,
        )
        attachment_id = await service.ready()
        proxy.cut()
        assert (await delete(service, attachment_id)).state == DELETED
        assert len(await keys_left(service)) == 1
    await sweeper()
    assert await service.keys_in_store() == set()


async def test_an_upload_after_a_delete_is_removed_with_its_target(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    await service.send(started.target, BODY)
    await service.complete(attachment_id)
    await delete(service, attachment_id)
    await keys_left(service)
    await sweeper()
    # A write-once target can write again after its object was deleted.
    assert await service.send(started.target, BODY) == 200
    await service.age(attachment_id, timedelta(days=1))
    await sweeper()
    assert await service.keys_in_store() == set()
    assert (await service.get(attachment_id)).revision == 3
