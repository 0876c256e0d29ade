"""A renewed hold keeps all its attachments, though only those in the request are touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc
import pytest
from asyncpg.pool import PoolConnectionProxy
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import attachments_pb2 as pb
from attachery.v1.admin_pb2 import AuditAttachmentsRequest
from attachery.v1.upload_sessions_pb2 import ListUploadSessionsRequest
from attachery_service.app.options import database_options
from attachery_service.app.parts import audit_store_of
from attachery_service.postgres.database import open_database
from support.failures import failure
from support.holding import HOUR, end, exactly, extend, get, held, reasons, release, state, take
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import Sweeper

DAY = timedelta(days=1)


async def renewed_without(service: ServiceUnderTest, attachment_id: str, ttl: timedelta) -> str:
    """An owner's hold, renewed by a request that does not name the attachment."""
    other = await service.ready()
    await held(service, attachment_id, hold_owner="job")
    return (await held(service, other, hold_owner="job", hold_ttl=ttl)).hold_id


async def resolved(service: ServiceUnderTest, attachment_id: str) -> pb.ResolveAttachmentResult:
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[attachment_id])
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return answer.results[0]


async def listed(service: ServiceUnderTest) -> dict[str, Timestamp]:
    request = ListUploadSessionsRequest(tenant_id=TENANT)
    answer = await service.uploads.ListUploadSessions(request, metadata=service.metadata)
    return {each.attachment_id: each.object_purge_time for each in answer.sessions}


async def rows(service: ServiceUnderTest) -> dict[str, int]:
    """The version of each session's row."""
    found = await service.database.fetch(
        "SELECT attachment_id::text, s.xmin::text::bigint AS version FROM upload_sessions AS s"
    )
    return {row["attachment_id"]: row["version"] for row in found}


async def held_id(service: ServiceUnderTest, attachment_id: str) -> str:
    """Returns the id of a new hold without an owner."""
    return (await held(service, attachment_id)).hold_id


async def delete(service: ServiceUnderTest, attachment_id: str) -> None:
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)


async def extend_as_the_release_before(service: ServiceUnderTest, hold_id: str) -> None:
    """Extends the hold by five hours as the previous release does: without end_time and count."""
    await service.database.execute(
        "UPDATE holds SET expire_time = expire_time + interval '5 h', revision = revision + 1"
        " WHERE hold_id = $1",
        hold_id,
    )
    await service.database.execute(
        "UPDATE upload_sessions AS s SET held_until = h.expire_time,"
        " metadata_purge_time = greatest(s.metadata_purge_time, h.expire_time)"
        " FROM holds AS h JOIN held_attachments AS a USING (tenant_id, hold_id)"
        " WHERE hold_id = $1 AND s.attachment_id = a.attachment_id",
        hold_id,
    )


@asynccontextmanager
async def hold_being_changed(
    service: ServiceUnderTest, hold_id: str
) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
    """The connection of another call, which is about to renew the hold."""
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM holds WHERE hold_id = $1 FOR NO KEY UPDATE", hold_id)
        yield connection


async def test_renewing_updates_only_the_requested_attachments(service: ServiceUnderTest) -> None:
    ids = [await service.ready() for _ in range(3)]
    hold = await held(service, *ids, hold_owner="job")
    before = await rows(service)
    await take(service, ids[0], hold_owner="job", hold_ttl=9 * HOUR)
    after = await rows(service)
    assert [i for i in ids if after[i] != before[i]] == [ids[0]]
    later = await extend(service, hold.hold_id, 20 * HOUR)
    assert await rows(service) == after
    for attachment_id in ids:
        assert (await get(service, attachment_id)).object_purge_time == later.expire_time


async def test_renewing_again_and_again_writes_no_row_of_an_attachment(
    service: ServiceUnderTest,
) -> None:
    ids = [await service.ready() for _ in range(3)]
    await held(service, *ids, hold_owner="job")
    before = await rows(service)
    for _ in range(3):
        answer = await take(service, *ids, hold_owner="job")
        assert answer.hold.ttl.ToTimedelta() == 2 * HOUR
        assert answer.hold.attachment_count == 3
        for result in answer.results:
            assert result.attachment.object_purge_time == answer.hold.expire_time
    assert await rows(service) == before


async def test_a_row_is_updated_once_half_of_its_hold_time_is_over(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    await held(service, attachment_id, hold_owner="job")
    told = "SELECT held_until FROM upload_sessions"
    for passed, moves in ((timedelta(minutes=59), False), (timedelta(minutes=2), True)):
        await service.age(attachment_id, passed)
        before = await service.database.fetchval(told)
        hold = await held(service, attachment_id, hold_owner="job")
        assert (await service.database.fetchval(told) > before) is moves
        assert (await get(service, attachment_id)).object_purge_time == hold.expire_time


async def test_an_attachment_held_by_a_renewed_hold_is_in_every_answer_past_all_its_own_times(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready(b"bytes", metadata_retention=DAY)
    hold_id = await renewed_without(service, attachment_id, 5 * DAY)
    hold = await extend(service, hold_id, 6 * DAY)
    await service.age(attachment_id, 2 * DAY)
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready"]
    attachment = await get(service, attachment_id)
    assert await state(service, attachment_id) == "READY"
    times = {
        "get": attachment.object_purge_time,
        "metadata": attachment.metadata_purge_time,
        "session": (await service.get(attachment_id)).object_purge_time,
        "resolve": (await resolved(service, attachment_id)).attachment.object_purge_time,
        "resolve again": (await resolved(service, attachment_id)).attachment.object_purge_time,
        "list": (await listed(service))[attachment_id],
    }
    assert set(map(exactly, times.values())) == {exactly(hold.expire_time)}, times
    answer = await take(service, attachment_id, hold_ttl=HOUR, include_download_urls=True)
    assert reasons(answer) == [""]
    assert await service.fetch(answer.results[0].download.url) == b"bytes"
    late = await failure(service.complete(attachment_id))
    assert late.reason == "UPLOAD_ALREADY_COMPLETED"


async def test_bytes_go_with_a_renewed_hold_and_at_its_time(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    hold_id = await renewed_without(service, attachment_id, DAY)
    await service.age(attachment_id, 3 * HOUR)
    await sweeper()
    assert await state(service, attachment_id) == "READY"
    await end(service, hold_id)
    over = await service.database.fetchval("SELECT expire_time FROM holds")
    assert await state(service, attachment_id) == "DELETED"
    await service.database.execute("UPDATE upload_sessions SET due_time = now()")
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
    assert exactly((await get(service, attachment_id)).object_purge_time) >= over


async def test_a_released_renewed_hold_prevents_no_deletion(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    hold_id = await renewed_without(service, attachment_id, DAY)
    await service.age(attachment_id, 3 * HOUR)
    await sweeper()
    released = await release(service, hold_id)
    assert released.attachment_count == 2
    assert await state(service, attachment_id) == "DELETED"
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
    assert await release(service, hold_id) == released


async def test_attachments_of_a_renewed_hold_are_not_deleted(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    await renewed_without(service, attachment_id, DAY)
    await service.age(attachment_id, 3 * HOUR)
    refused = await failure(delete(service, attachment_id))
    assert refused.reason == "ATTACHMENT_HELD"
    assert await state(service, attachment_id) == "READY"


async def test_the_audit_agrees_with_renewed_holds(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    hold_id = await renewed_without(service, attachment_id, DAY)
    await service.age(attachment_id, 3 * HOUR)
    await sweeper()
    request = AuditAttachmentsRequest(tenant_id=TENANT)
    for change in (extend(service, hold_id, 2 * DAY), release(service, hold_id)):
        await change
        await sweeper()
        answer = await service.admin.AuditAttachments(request, metadata=service.metadata)
        assert not answer.findings


async def test_bytes_stay_while_another_call_may_be_renewing_their_last_hold(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id)
    await service.age(attachment_id, HOUR)
    await end(service, hold.hold_id)
    await service.database.execute("UPDATE upload_sessions SET due_time = now()")
    async with hold_being_changed(service, hold.hold_id):
        await sweeper()
        assert await service.events(attachment_id) == ["pending", "ready"]
    await service.age(attachment_id, timedelta(minutes=1))
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]


async def test_a_hold_that_ended_while_its_extension_waited_is_not_extended(
    service: ServiceUnderTest,
) -> None:
    hold = await held(service, await service.ready())
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM holds FOR SHARE")
        waiting = asyncio.create_task(failure(extend(service, hold.hold_id, HOUR)))
        await service.until_blocked(1)
        # As if the call had waited for the lock until after the end.
        await connection.execute(
            "UPDATE holds SET create_time = create_time - interval '8 d',"
            " expire_time = expire_time - interval '8 d'"
        )
    assert (await waiting).reason == "HOLD_EXPIRED"


async def test_a_hold_that_the_release_before_has_changed_is_counted_anew(
    service: ServiceUnderTest,
) -> None:
    one, two, three = [await service.ready() for _ in range(3)]
    hold = await held(service, one, hold_owner="job")
    for added in (two, three):
        # As the previous release adds to a hold: it has neither the count nor end times.
        await service.database.execute(
            "INSERT INTO held_attachments (tenant_id, hold_id, attachment_id) VALUES ($1, $2, $3)",
            TENANT,
            hold.hold_id,
            added,
        )
        await service.database.execute("UPDATE holds SET revision = revision + 1")
        await service.database.execute(
            "UPDATE upload_sessions AS s SET held_until = h.expire_time"
            " FROM holds AS h WHERE attachment_id = $1",
            added,
        )
    later = await extend(service, hold.hold_id, 5 * HOUR)
    assert later.attachment_count == 3
    assert (await held(service, one, hold_owner="job")).attachment_count == 3
    for attachment_id in (one, two, three):
        assert (await get(service, attachment_id)).object_purge_time == later.expire_time


@pytest.mark.parametrize("renewed", [False, True], ids=["first-renewal", "renewed-before"])
async def test_a_late_renewal_keeps_live_attachments_and_restores_none(
    service: ServiceUnderTest, renewed: bool
) -> None:
    gone, alive, asked = [await service.ready() for _ in range(3)]
    hold = await held(service, gone, alive, asked, hold_owner="job")
    if renewed:
        await extend(service, hold.hold_id, 3 * HOUR)
    await service.age(gone, HOUR)
    await end(service, hold.hold_id)
    assert await state(service, gone) == "DELETED"
    again = await held(service, asked, hold_owner="job", hold_ttl=9 * HOUR)
    assert (again.hold_id, again.attachment_count) == (hold.hold_id, 2)
    assert (await get(service, alive)).object_purge_time == again.expire_time
    assert await state(service, gone) == "DELETED"


@pytest.mark.parametrize("repaired", [False, True], ids=["released", "audit-repair"])
async def test_a_late_renewal_keeps_attachments_of_another_hold(
    service: ServiceUnderTest, sweeper: Sweeper, repaired: bool
) -> None:
    attachment_id, other = await service.ready(), await service.ready()
    late = await held(service, attachment_id, hold_owner="late")
    await end(service, late.hold_id)
    if repaired:
        async with open_database(database_options(service.settings)) as database:
            store = audit_store_of(service.settings, database)
            await store.recompute_hold(TENANT, UUID(attachment_id))
    else:
        await release(service, await held_id(service, attachment_id))
    again = await held(service, other, hold_owner="late")
    assert (again.hold_id, again.attachment_count) == (late.hold_id, 2)
    assert (await get(service, attachment_id)).object_purge_time == again.expire_time
    await service.age(attachment_id, HOUR)
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready"]
    assert (await failure(delete(service, attachment_id))).reason == "ATTACHMENT_HELD"
    assert await state(service, attachment_id) == "READY"


@pytest.mark.parametrize("passed", [False, True], ids=["before-old-end", "after-old-end"])
async def test_a_hold_that_the_release_before_has_extended_outlives_other_holds(
    service: ServiceUnderTest, passed: bool
) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id)
    await extend_as_the_release_before(service, hold.hold_id)
    if passed:
        await service.database.execute(
            "UPDATE held_attachments SET end_time = end_time - interval '8 d'"
        )
    else:
        await held(service, attachment_id, hold_ttl=3 * HOUR)
    await release(service, await held_id(service, attachment_id))
    extended = await service.database.fetchval(
        "SELECT expire_time FROM holds WHERE hold_id = $1", hold.hold_id
    )
    assert exactly((await get(service, attachment_id)).object_purge_time) == extended


@pytest.mark.parametrize("consumed", [False, True])
async def test_an_extension_that_commits_after_the_end_outlives_the_release_of_another_hold(
    make_service: MakeService, tmp_path: Path, consumed: bool
) -> None:
    purposes = tmp_path / "purposes.toml"
    purposes.write_text("[default]\ndelete_when_consumed = true\n", encoding="utf-8")
    service = await make_service(purposes=purposes)
    attachment_id = await service.ready()
    first = await held(service, attachment_id)
    await extend(service, first.hold_id, 3 * HOUR)
    await end(service, first.hold_id)
    second = await held_id(service, attachment_id)
    async with hold_being_changed(service, first.hold_id) as connection:
        await release(service, second, consumed=consumed)
        await connection.execute(
            "UPDATE holds SET expire_time = expire_time + interval '8 d', revision = revision + 1,"
            " counted_revision = revision + 1 WHERE hold_id = $1",
            first.hold_id,
        )
    await service.age(attachment_id, HOUR)
    assert await state(service, attachment_id) == "READY"


async def test_a_consumed_attachment_goes_though_another_hold_on_it_has_expired(
    make_service: MakeService, tmp_path: Path
) -> None:
    purposes = tmp_path / "purposes.toml"
    purposes.write_text("[default]\ndelete_when_consumed = true\n", encoding="utf-8")
    service = await make_service(purposes=purposes)
    attachment_id = await service.ready()
    expired = await held(service, attachment_id)
    await end(service, expired.hold_id)
    await release(service, await held_id(service, attachment_id), consumed=True)
    assert await state(service, attachment_id) == "DELETED"


async def test_the_sweep_reads_the_holds_of_a_row_without_held_until(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    hold_id = await renewed_without(service, attachment_id, DAY)
    # As the previous release leaves it: it ignores an expired hold.
    await service.database.execute("UPDATE upload_sessions SET held_until = NULL")
    assert (await failure(delete(service, attachment_id))).code == grpc.StatusCode.UNAVAILABLE
    await service.age(attachment_id, HOUR)
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready"]
    assert await state(service, attachment_id) == "READY"
    await release(service, hold_id)
    await sweeper()
    assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
