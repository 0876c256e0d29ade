"""The sweep: the effect of time on sessions, objects and counters, by moving rows in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from google.protobuf.duration_pb2 import Duration

from attachery.v1 import resources_pb2 as pb
from support.bad_stores import Exchange, lying_store
from support.failures import failure
from support.service_fixtures import MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest
from support.sweep_fixtures import Sweeper, opened_sweeper

BODY = b"hello\n"
HOUR = timedelta(hours=1)
RETRY = timedelta(seconds=31)
READY, EXPIRED = pb.UPLOAD_SESSION_STATE_READY, pb.UPLOAD_SESSION_STATE_EXPIRED
FAILED, DELETED = pb.UPLOAD_SESSION_STATE_FAILED, pb.UPLOAD_SESSION_STATE_DELETED
NOTHING = (0, 0, 0)


async def used(service: ServiceUnderTest) -> tuple[int, int, int]:
    """The tenant's usage: pending sessions, pending bytes, stored bytes."""
    row = await service.database.fetchrow(
        "SELECT sum(pending_sessions), sum(pending_bytes), sum(stored_bytes) FROM tenant_usage"
    )
    assert row
    return int(row[0] or 0), int(row[1] or 0), int(row[2] or 0)


async def uploaded(service: ServiceUnderTest, body: bytes = BODY, **fields: object) -> str:
    started = await service.start(size_bytes=len(BODY), **fields)
    key = started.target.url.partition("?")[0].partition(f"{service.bucket}/")[2]
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=body, ContentType="text/plain")
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def due_in(service: ServiceUnderTest, attachment_id: str) -> timedelta:
    """The time until the sweep processes it again."""
    left: timedelta = await service.database.fetchval(
        "SELECT due_time - now() FROM upload_sessions WHERE attachment_id = $1", attachment_id
    )
    return left


async def rows(service: ServiceUnderTest, table: str = "upload_sessions") -> int:
    count: int = await service.database.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
    return count


async def test_sessions_that_are_not_due_are_unchanged(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    await service.start()
    await service.ready()
    before = await service.database.fetch("SELECT * FROM upload_sessions ORDER BY 1, 2")
    done = await sweeper()
    assert done.is_done
    assert done.lag == timedelta()
    assert not sweeper.counts()
    assert before == await service.database.fetch("SELECT * FROM upload_sessions ORDER BY 1, 2")


async def test_expired_sessions_end_and_release_their_quota(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    gone, kept = await uploaded(service), await uploaded(service)
    await service.age(gone, HOUR)
    before = await service.get(gone)
    done = await sweeper()
    assert timedelta() <= done.lag < timedelta(minutes=1)
    session = await service.get(gone)
    assert before.state == session.state == EXPIRED
    assert session.revision == before.revision + 1
    assert await service.events(gone) == ["pending", "expired"]
    actor = "SELECT actor FROM session_events WHERE state = 'expired'"
    assert await service.database.fetchval(actor) == "attachery"
    assert await used(service) == (1, len(BODY), 0)
    assert len(await service.keys_in_store()) == 1
    assert sweeper.counts() == {"expired": 1, "released": 1, "disposed": 1}
    await sweeper()
    assert sweeper.counts().total() == 3
    assert (await failure(service.complete(gone))).reason == "UPLOAD_EXPIRED"
    assert (await service.complete(kept)).session.state == READY


async def test_the_objects_of_an_ended_session_are_deleted_at_once_and_again_when_none_can_come(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    await service.cancel(attachment_id)
    await sweeper()
    assert sweeper.counts() == {"disposed": 1}
    assert await used(service) == (1, len(BODY), 0), "the URL can still write"
    assert await service.send(started.target, BODY) == 200
    await sweeper()
    assert await service.keys_in_store(), "it is not time yet"
    await service.age(attachment_id, HOUR)
    await sweeper()
    assert sweeper.counts() == {"disposed": 1, "released": 1}
    assert await used(service) == NOTHING
    await service.age(attachment_id, HOUR)
    await sweeper()
    assert sweeper.counts() == {"disposed": 2, "released": 1}
    assert not await service.keys_in_store()
    assert await due_in(service, attachment_id) > timedelta(days=50)
    assert await service.events(attachment_id) == ["pending", "cancelled"]


@asynccontextmanager
async def slow_upload(target: pb.UploadTarget, body: bytes) -> AsyncIterator[asyncio.StreamWriter]:
    """A PUT without its last byte, which is sent at the end of the block."""
    url = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    headers = {**target.headers, "Host": url.netloc, "Connection": "close"}
    lines = [f"PUT {url.path}?{url.query} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body[:-1])
    await writer.drain()
    yield writer
    writer.write(body[-1:])
    assert (await reader.readline()).split()[1] == b"200"
    await reader.read()
    writer.close()


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_a_put_that_ends_after_the_sweep_is_deleted_and_never_ready(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    async with opened_sweeper(service.settings) as sweeper:
        started = await service.start(size_bytes=len(BODY), auto_complete=True)
        attachment_id = started.session.attachment_id
        async with slow_upload(started.target, BODY):
            await service.age(attachment_id, HOUR)
            await sweeper()
        assert await service.keys_in_store(), "it came after the first deletion"
        assert (await failure(service.complete(attachment_id))).reason == "UPLOAD_EXPIRED"
        await service.age(attachment_id, RETRY)
        await sweeper()
        await service.age(attachment_id, HOUR)
        await sweeper()
        assert not await service.keys_in_store()
        assert await service.events(attachment_id) == ["pending", "expired"]
        assert await used(service) == NOTHING


async def test_a_copied_source_is_deleted_again_once_its_target_has_expired(
    make_service: MakeService,
) -> None:
    service = await make_service(seal="copy")
    async with opened_sweeper(service.settings) as sweeper:
        started = await service.start(size_bytes=len(BODY))
        attachment_id = started.session.attachment_id
        await service.send(started.target, BODY)
        await service.complete(attachment_id)
        await sweeper()
        (sealed,) = await service.keys_in_store()
        assert await service.send(started.target, b"OTHER\n") == 200
        assert len(await service.keys_in_store()) == 2
        await service.database.execute(
            "UPDATE upload_sessions SET object_purge_time = now() + interval '9 hours',"
            " metadata_purge_time = now() + interval '10 hours'"
        )
        await service.age(attachment_id, 2 * HOUR)
        await sweeper()
        assert await service.keys_in_store() == {sealed}
        assert (await service.get(attachment_id)).state == READY
        assert await due_in(service, attachment_id) > 6 * HOUR
        assert sweeper.counts() == {"disposed": 2}


async def test_an_orphaned_copy_is_deleted_once_no_more_can_appear(
    make_service: MakeService,
) -> None:
    service = await make_service(seal="copy")
    async with opened_sweeper(service.settings) as sweeper:
        kept = await service.ready(object_retention=Duration(seconds=12 * 3600))
        given_up = (await service.start(size_bytes=len(BODY))).session.attachment_id
        await service.cancel(given_up)
        await sweeper()
        (sealed,) = await service.keys_in_store()
        # As left by a Complete that was killed before it stored its result.
        for attachment_id in (kept, given_up):
            lost = sealed.replace(kept, attachment_id) + "-lost"
            await service.s3.put_object(Bucket=service.bucket, Key=lost, Body=BODY)
        await sweeper()
        assert len(await service.keys_in_store()) == 3
        for attachment_id in (kept, given_up):
            await service.age(attachment_id, 2 * HOUR)
        await sweeper()
        assert await service.keys_in_store() == {sealed}
        assert (await service.get(kept)).state == READY


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_bytes_past_their_time_are_purged_and_the_row_stays(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    async with opened_sweeper(service.settings) as sweeper:
        attachment_id = await service.ready(BODY)
        assert await used(service) == (0, 0, len(BODY))
        await service.age(attachment_id, 2 * HOUR)
        before = await service.get(attachment_id)
        await sweeper()
        session = await service.get(attachment_id)
        assert before.state == session.state == DELETED
        assert session.object_purge_time == before.object_purge_time
        assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
        assert not await service.keys_in_store()
        assert await used(service) == NOTHING
        assert sweeper.counts() == {"purged": 1, "disposed": 1}


async def test_a_write_once_upload_that_was_purged_may_come_again_and_goes_again(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    await service.send(started.target, BODY)
    await service.complete(attachment_id)
    await service.database.execute(
        "UPDATE upload_sessions SET delete_time = now(), booking = 'released', due_time = now()"
    )
    await sweeper()
    assert not await service.keys_in_store()
    assert await service.send(started.target, BODY) == 200, "its key is free again"
    await service.age(attachment_id, 2 * HOUR)
    await sweeper()
    assert not await service.keys_in_store()
    assert sweeper.counts() == {"disposed": 2}


async def test_held_bytes_stay_until_the_hold_ends(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready(BODY)
    await service.age(attachment_id, 2 * HOUR)
    await service.database.execute(
        "UPDATE upload_sessions SET held_until = now() + interval '1 hour'"
    )
    await sweeper()
    assert (await service.get(attachment_id)).state == READY
    assert await service.keys_in_store()
    held_until = (await service.get(attachment_id)).object_purge_time.ToDatetime()
    await service.age(attachment_id, HOUR)
    await sweeper()
    session = await service.get(attachment_id)
    assert session.state == DELETED
    assert session.object_purge_time.ToDatetime() == held_until - HOUR
    assert not await service.keys_in_store()


async def test_a_row_past_its_time_goes_with_its_history_but_not_before_its_objects(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    for attachment_id in (await service.ready(BODY), await uploaded(service)):
        await service.age(attachment_id, timedelta(days=61))
    await sweeper()
    assert await rows(service) == 2, "its objects were there when the round began"
    await service.database.execute(
        "UPDATE upload_sessions SET due_time = due_time - $1::interval", RETRY
    )
    await sweeper()
    assert await rows(service) == await rows(service, "session_events") == 0
    assert sweeper.counts()["removed"] == 2
    assert not await service.keys_in_store()
    assert await used(service) == NOTHING


async def test_old_request_ids_and_holds_are_forgotten(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    for number in range(3):
        await service.start(request_id=f"r-{number}")
    attachment_id = await service.ready()
    for ended in (23, 25):
        await service.database.execute(
            """
            WITH hold AS (
                INSERT INTO holds
                    (tenant_id, hold_id, owner, created_by, create_time, expire_time)
                SELECT $1, gen_random_uuid(), '', 'tester', t - interval '1 hour', t
                FROM (SELECT now() - $2::interval AS t) AS ended
                RETURNING tenant_id, hold_id
            )
            INSERT INTO held_attachments SELECT tenant_id, hold_id, $3::uuid FROM hold
            """,
            service.tenant_id,
            timedelta(hours=ended),
            attachment_id,
        )
    await service.database.execute(
        "UPDATE request_outcomes SET create_time = create_time - interval '25 hours'"
        " WHERE request_id <> 'r-0'"
    )
    await sweeper()
    assert await service.database.fetchval("SELECT request_id FROM request_outcomes") == "r-0"
    assert await rows(service, "request_outcomes") == 1
    assert await rows(service, "holds") == await rows(service, "held_attachments") == 1


async def test_sessions_that_the_release_before_has_stored_are_swept_without_counting(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    expired, ready = await uploaded(service), await service.ready()
    await service.database.execute(
        "UPDATE upload_sessions SET booking = NULL, usage_shard = NULL, reserved_bytes = NULL,"
        " due_time = now()"
    )
    before = await used(service)
    await service.age(expired, HOUR)
    await sweeper()
    assert (await service.get(ready)).state == READY
    assert (await service.get(expired)).state == EXPIRED
    assert await due_in(service, ready) > timedelta()
    await service.age(ready, 2 * HOUR)
    await sweeper()
    assert (await service.get(ready)).state == DELETED
    assert await used(service) == before
    assert not await service.keys_in_store()


async def test_sessions_of_the_previous_release_are_settled_after_their_url_expired(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    await service.database.execute(
        """
        WITH s AS (UPDATE upload_sessions SET booking = 'pending', due_time = now() RETURNING *)
        UPDATE tenant_usage AS u
        SET pending_sessions = 1, pending_bytes = s.reserved_bytes, stored_bytes = 0
        FROM s WHERE u.shard = s.usage_shard
        """
    )
    await sweeper()
    assert await used(service) == (1, len(BODY), 0)
    assert timedelta() < await due_in(service, attachment_id) <= HOUR
    await service.age(attachment_id, HOUR)
    await service.database.execute(
        "UPDATE upload_sessions SET object_purge_time = now() + interval '1 hour'"
    )
    await sweeper()
    assert await used(service) == (0, 0, len(BODY))
    assert sweeper.counts() == {}


async def test_concurrent_sweeps_share_the_work_without_repeats(
    make_service: MakeService,
) -> None:
    service = await make_service(sweep_batch=3)
    ids = [await uploaded(service) for _ in range(20)]
    for attachment_id in ids:
        await service.age(attachment_id, HOUR)
    async with (
        opened_sweeper(service.settings) as one,
        opened_sweeper(service.settings) as other,
    ):
        rounds = await asyncio.gather(one(), other(), one(), other())
        assert any(done.is_done for done in rounds)
        total = one.counts() + other.counts()
    assert total == {"expired": 20, "released": 20, "disposed": 20}
    assert await rows(service, "session_events") == 40
    assert await used(service) == NOTHING
    assert not await service.keys_in_store()


async def test_a_locked_session_is_left_for_the_next_round(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    held, free = await uploaded(service), await uploaded(service)
    for attachment_id in (held, free):
        await service.age(attachment_id, HOUR)
    async with service.row_locked(held):
        await sweeper()
        assert sweeper.counts()["expired"] == 1
    await sweeper()
    assert sweeper.counts()["expired"] == 2


async def test_an_object_that_the_store_does_not_delete_is_tried_again(
    make_service: MakeService, object_store: StoreUnderTest
) -> None:
    kept = b""

    def forget(exchange: Exchange) -> Exchange:
        return replace(exchange, body=exchange.body.replace(kept, b"x")) if kept else exchange

    async with lying_store(object_store.endpoint, forget) as endpoint:
        service = await make_service(s3_endpoint=endpoint, s3_public_endpoint=object_store.endpoint)
        async with opened_sweeper(service.settings) as sweeper:
            kept, _ = (await uploaded(service)).encode(), await uploaded(service)
            await service.database.execute(
                "UPDATE upload_sessions SET state = 'cancelled', due_time = now()"
            )
            done = await sweeper()
            assert done.deferred == {"STORAGE_UNAVAILABLE": 1}
            assert sweeper.counts() == {"disposed": 1, "failed_deletes": 1}
            assert timedelta() < await due_in(service, kept.decode()) < RETRY
            await service.age(kept.decode(), RETRY)
            kept = b""
            assert not (await sweeper()).deferred
            assert sweeper.counts() == {"disposed": 2, "failed_deletes": 1}


async def test_a_deletion_is_not_confirmed_for_a_session_that_has_changed_since(
    make_service: MakeService,
) -> None:
    service = await make_service(seal="copy")
    async with opened_sweeper(service.settings) as sweeper:
        attachment_id = await service.ready()
        swept = await sweeper.sweep.store.sweep(10)
        assert [len(session.dead_keys) for session in swept] == [1], "what it was copied from"
        await service.database.execute(
            "UPDATE upload_sessions SET delete_time = now(), booking = 'released',"
            " revision = revision + 1, due_time = now()"
        )
        await sweeper.sweep.store.confirm_disposal(swept)
        assert await due_in(service, attachment_id) < timedelta()
        assert len((await sweeper.sweep.store.sweep(10))[0].dead_keys) == 2
