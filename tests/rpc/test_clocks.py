"""The three lifetimes of a session: its deadline, its bytes, its row; exact in every read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery.v1.upload_sessions_pb2 import GetUploadPolicyRequest, ListUploadSessionsRequest
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME
from attachery_service.postgres.queries import query
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import Sweeper

READY = resources_pb2.UPLOAD_SESSION_STATE_READY
DELETED = resources_pb2.UPLOAD_SESSION_STATE_DELETED
BODY = b"hello\n"
FIND, LIST = query("sessions/find"), query("sessions/list")

FILE = """
[fleeting]
default_ttl = 60
object_retention = 120
max_object_retention = 600
metadata_retention = "P1D"
max_metadata_retention = "P2D"
delete_when_consumed = true
"""


def after(start: Timestamp, then: Timestamp) -> timedelta:
    return exactly(then) - exactly(start)


def exactly(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)


async def resolved(service: ServiceUnderTest, attachment_id: str) -> pb.ResolveAttachmentResult:
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[attachment_id])
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return answer.results[0]


async def get(service: ServiceUnderTest, attachment_id: str) -> resources_pb2.Attachment:
    request = pb.GetAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.GetAttachment(request, metadata=service.metadata)
    return answer.attachment


async def listed(service: ServiceUnderTest, *states: int) -> list[resources_pb2.UploadSession]:
    wanted = ListUploadSessionsRequest.Filter(states=states)  # type: ignore[arg-type]
    request = ListUploadSessionsRequest(tenant_id=TENANT, filter=wanted)
    answer = await service.uploads.ListUploadSessions(request, metadata=service.metadata)
    return list(answer.sessions)


async def test_each_clock_is_set_by_the_call_and_shown_by_every_read(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(
        size_bytes=len(BODY),
        ttl=timedelta(minutes=5),
        object_retention=timedelta(days=2),
        metadata_retention=timedelta(days=90),
    )
    session = started.session
    assert after(session.create_time, session.expire_time) == timedelta(minutes=5)
    assert after(session.create_time, session.object_purge_time) == timedelta(days=2)
    assert after(session.create_time, session.metadata_purge_time) == timedelta(days=90)
    await service.send(started.target, BODY)
    completed = await service.complete(session.attachment_id)
    for resource in (
        completed.session,
        completed.attachment,
        await service.get(session.attachment_id),
        (await listed(service))[0],
        await get(service, session.attachment_id),
        (await resolved(service, session.attachment_id)).attachment,
    ):
        assert resource.object_purge_time == session.object_purge_time
        assert resource.metadata_purge_time == session.metadata_purge_time


@pytest.mark.requirement("N13", "N14")
async def test_retention_defaults_to_one_hour_for_bytes_and_sixty_days_for_metadata(
    service: ServiceUnderTest,
) -> None:
    session = (await service.start(ttl=timedelta(minutes=5))).session
    assert after(session.create_time, session.object_purge_time) == timedelta(hours=1)
    assert after(session.create_time, session.metadata_purge_time) == timedelta(days=60)


@pytest.mark.requirement("N13", "N14")
async def test_bytes_are_deleted_an_hour_after_creation_and_metadata_stays(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    await service.send(started.target, BODY)
    await service.age(attachment_id, timedelta(minutes=50))
    await service.complete(attachment_id)
    await service.age(attachment_id, timedelta(minutes=9))
    await sweeper()
    assert len(await service.keys_in_store()) == 1
    await service.age(attachment_id, timedelta(minutes=1))
    await sweeper()
    assert await service.keys_in_store() == set()
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
    await service.age(attachment_id, timedelta(days=59, hours=22))
    await sweeper()
    kept = await get(service, attachment_id)
    assert (kept.state, kept.filename, kept.size_bytes) == (DELETED, "hello.txt", len(BODY))
    await service.age(attachment_id, timedelta(hours=1))
    assert (await failure(get(service, attachment_id))).reason == "ATTACHMENT_NOT_FOUND"


async def test_bytes_never_go_before_the_session_nor_the_row_before_the_bytes(
    service: ServiceUnderTest,
) -> None:
    short = (
        await service.start(ttl=timedelta(hours=2), object_retention=timedelta(seconds=1))
    ).session
    assert short.object_purge_time == short.expire_time
    long = (
        await service.start(
            object_retention=timedelta(days=30), metadata_retention=REQUEST_ID_LIFETIME
        )
    ).session
    assert long.metadata_purge_time == long.object_purge_time


async def test_a_purpose_has_lifetimes_and_limits_of_its_own(
    make_service: MakeService, tmp_path: Path
) -> None:
    path = tmp_path / "purposes.toml"
    path.write_text(FILE, encoding="utf-8")
    service = await make_service(purposes=path)
    session = (await service.start(purpose="fleeting")).session
    assert after(session.create_time, session.object_purge_time) == timedelta(minutes=2)
    assert after(session.create_time, session.metadata_purge_time) == timedelta(days=1)
    fine = await service.start(
        purpose="fleeting",
        object_retention=timedelta(minutes=10),
        metadata_retention=timedelta(days=2),
    )
    assert after(session.create_time, fine.session.object_purge_time) >= timedelta(minutes=10)
    refused = await failure(
        service.start(
            purpose="fleeting",
            object_retention=timedelta(minutes=10, microseconds=1),
            metadata_retention=timedelta(days=2, microseconds=1),
        )
    )
    assert refused.violations == [
        ("object_retention", "INVALID_OBJECT_RETENTION"),
        ("metadata_retention", "INVALID_METADATA_RETENTION"),
    ]
    request = GetUploadPolicyRequest(tenant_id=TENANT, purpose="fleeting")
    policy = (await service.uploads.GetUploadPolicy(request, metadata=service.metadata)).policy
    assert policy.max_object_retention.ToTimedelta() == timedelta(minutes=10)
    assert policy.max_metadata_retention.ToTimedelta() == timedelta(days=2)
    assert policy.delete_when_consumed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("object_retention", timedelta(hours=2)),
        ("metadata_retention", timedelta(days=30)),
        ("is_inline", False),
    ],
    ids=["object_retention", "metadata_retention", "is_inline"],
)
async def test_a_start_with_another_lifetime_is_another_payload(
    service: ServiceUnderTest, field: str, value: Any
) -> None:
    first = await service.start(request_id="r-1", **{field: value})
    assert (await service.start(request_id="r-1", **{field: value})).session == first.session
    assert (await failure(service.start(request_id="r-1"))).reason == "REQUEST_ID_REUSED"


async def test_bytes_past_their_time_are_deleted_in_every_read(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(object_retention=timedelta(hours=3))
    await service.age(attachment_id, timedelta(hours=2, minutes=59))
    assert (await service.get(attachment_id)).state == READY
    assert (await get(service, attachment_id)).state == READY
    assert (await resolved(service, attachment_id)).attachment.state == READY
    assert [s.attachment_id for s in await listed(service, READY)] == [attachment_id]
    assert await listed(service, DELETED) == []
    await service.age(attachment_id, timedelta(minutes=1))
    assert (await service.get(attachment_id)).state == DELETED
    assert (await get(service, attachment_id)).state == DELETED
    assert not (await resolved(service, attachment_id)).HasField("attachment")
    assert await listed(service, READY) == []
    assert [s.state for s in await listed(service, DELETED)] == [DELETED]
    # No statement has stored it yet.
    assert await service.events(attachment_id) == ["pending", "ready"]


@pytest.mark.requirement("N8", "N13")
@pytest.mark.parametrize(
    ("left", "pending", "ready"),
    [(timedelta(microseconds=1), "pending", "ready"), (timedelta(0), "expired", "deleted")],
    ids=["before", "at"],
)
async def test_every_deadline_has_passed_at_its_exact_moment(
    service: ServiceUnderTest, left: timedelta, pending: str, ready: str
) -> None:
    waiting = (await service.start(size_bytes=1)).session.attachment_id
    attachment_id = await service.ready()
    expected = {waiting: pending, attachment_id: ready}
    # Within a transaction, the database's clock stands still.
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE upload_sessions SET expire_time = now() + $1, object_purge_time = now() + $1",
            left,
        )
        everything = dict.fromkeys(LIST.parameters) | {"tenant_id": TENANT, "limit": 9}
        for name, state in expected.items():
            lookups = json.dumps([{"tenant_id": TENANT, "attachment_id": name}])
            read = {"lookups": lookups, "request_lifetime": REQUEST_ID_LIFETIME}
            (row,) = await connection.fetch(FIND.text, *FIND.bind(read))
            assert row["effective_state"] == state
            wanted = LIST.bind({**everything, "states": [state]})
            page = await connection.fetch(LIST.text, *wanted)
            assert [str(row["attachment_id"]) for row in page] == [name]


async def test_a_row_past_its_time_is_gone_in_every_read(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(metadata_retention=timedelta(days=3))
    await service.age(attachment_id, timedelta(days=2, hours=23))
    assert (await get(service, attachment_id)).state == DELETED
    await service.age(attachment_id, timedelta(hours=1))
    missing = "ATTACHMENT_NOT_FOUND"
    assert (await failure(service.get(attachment_id))).reason == missing
    assert (await failure(get(service, attachment_id))).reason == missing
    assert missing.encode() in (await resolved(service, attachment_id)).SerializeToString()
    assert await listed(service) == []


@pytest.mark.requirement("L4", "L6")
async def test_deadline_is_unset_in_every_final_state(service: ServiceUnderTest) -> None:
    cancelled, expired, failed = [(await service.start(size_bytes=len(BODY))) for _ in range(3)]
    await service.cancel(cancelled.session.attachment_id)
    await service.age(expired.session.attachment_id, timedelta(hours=1))
    await service.send(failed.target, BODY)
    await failure(service.complete(failed.session.attachment_id, size_bytes=5))
    ready, deleted = await service.ready(), await service.ready()
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=deleted)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    pending = (await service.start()).session.attachment_id
    found = {s.attachment_id: s for s in await listed(service)}
    names = [cancelled, expired, failed]
    ended = [*(started.session.attachment_id for started in names), ready, deleted]
    assert [found[name].state for name in ended] == [
        resources_pb2.UPLOAD_SESSION_STATE_CANCELLED,
        resources_pb2.UPLOAD_SESSION_STATE_EXPIRED,
        resources_pb2.UPLOAD_SESSION_STATE_FAILED,
        READY,
        DELETED,
    ]
    for name in ended:
        assert not found[name].HasField("expire_time")
        assert found[name].HasField("upload_url_expire_time")
        assert await service.get(name) == found[name]
    assert found[pending].HasField("expire_time")
