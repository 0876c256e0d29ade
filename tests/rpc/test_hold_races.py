"""Holds taken, extended and released concurrently: no held attachment is ever lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from attachery.v1 import attachments_pb2 as pb
from support.failures import failure
from support.holding import HOUR, extend, get, held, holds_stored, reasons, release, state, take
from support.service_fixtures import TENANT, ServiceUnderTest


async def delete(service: ServiceUnderTest, attachment_id: str) -> None:
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)


async def one_after_the_other(
    service: ServiceUnderTest, attachment_id: str, *calls: Any
) -> list[Any]:
    """Returns the results of concurrent calls that reached the attachment in this order."""
    tasks = []
    async with service.row_locked(attachment_id):
        for count, call in enumerate(calls, start=1):
            tasks.append(asyncio.ensure_future(call))
            await service.until_blocked(count)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_hold_before_a_deletion_wins(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    answer, deleted = await one_after_the_other(
        service,
        attachment_id,
        take(service, attachment_id),
        failure(delete(service, attachment_id)),
    )
    assert reasons(answer) == [""]
    assert deleted.reason == "ATTACHMENT_HELD"
    assert await state(service, attachment_id) == "READY"


async def test_a_deletion_before_a_hold_wins(service: ServiceUnderTest) -> None:
    attachment_id, other = await service.ready(), await service.ready()
    deleted, answer = await one_after_the_other(
        service, attachment_id, delete(service, attachment_id), take(service, attachment_id, other)
    )
    assert deleted is None
    assert reasons(answer) == ["OBJECT_PURGED", ""]
    assert answer.hold.attachment_count == 1
    assert await service.database.fetchval("SELECT count(*) FROM held_attachments") == 1


async def test_one_deletion_fails_an_all_or_nothing_hold(
    service: ServiceUnderTest,
) -> None:
    attachment_id, other = await service.ready(), await service.ready()
    _, answer = await one_after_the_other(
        service,
        attachment_id,
        delete(service, attachment_id),
        take(service, attachment_id, other, all_or_nothing=True),
    )
    assert reasons(answer) == ["OBJECT_PURGED", "BATCH_ABORTED"]
    assert await holds_stored(service) == 0


@pytest.mark.parametrize("release_first", [True, False], ids=["release-first", "take-first"])
async def test_releasing_a_hold_keeps_attachments_of_a_concurrent_hold(
    service: ServiceUnderTest, release_first: bool
) -> None:
    attachment_id = await service.ready()
    old = await held(service, attachment_id, hold_ttl=5 * HOUR)
    releasing, taking = release(service, old.hold_id), held(service, attachment_id)
    calls = (releasing, taking) if release_first else (taking, releasing)
    outcomes = await one_after_the_other(service, attachment_id, *calls)
    new = outcomes[1 if release_first else 0]
    assert (await get(service, attachment_id)).object_purge_time == new.expire_time


async def test_the_last_hold_is_released_before_the_attachment_is_held_again(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    old = await held(service, attachment_id)
    await service.age(attachment_id, HOUR)
    _, answer = await one_after_the_other(
        service, attachment_id, release(service, old.hold_id), take(service, attachment_id)
    )
    assert reasons(answer) == ["OBJECT_PURGED"]
    assert not answer.HasField("hold")


async def test_two_first_calls_of_an_owner_at_once_share_a_hold_and_its_end(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    async with service.row_locked(one):
        slow = asyncio.create_task(held(service, one, hold_owner="job"))
        await service.until_blocked(1)
        quick = await held(service, two, hold_owner="job", hold_ttl=5 * HOUR)
    hold = await slow
    assert (hold.hold_id, hold.expire_time) == (quick.hold_id, quick.expire_time)
    assert hold.attachment_count == 2
    for attachment_id in (one, two):
        assert (await get(service, attachment_id)).object_purge_time == hold.expire_time


async def test_extending_a_hold_does_not_wait_for_changes_of_its_attachments(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    hold = await held(service, one, hold_owner="job")
    async with service.row_locked(one):
        extended = await extend(service, hold.hold_id, 9 * HOUR)
        added = await held(service, two, hold_owner="job")
    assert extended.expire_time == added.expire_time
    for attachment_id in (one, two):
        purged = (await get(service, attachment_id)).object_purge_time
        assert purged == extended.expire_time


async def test_a_hold_extended_while_something_is_added_keeps_that_as_long(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    hold = await held(service, one, hold_owner="job")
    async with service.row_locked(two):
        adding = asyncio.create_task(held(service, two, hold_owner="job"))
        await service.until_blocked(1)
        extending = asyncio.create_task(extend(service, hold.hold_id, 9 * HOUR))
        await service.until_blocked(2)
    extended = await extending
    assert ((await adding).attachment_count, extended.attachment_count) == (2, 2)
    for attachment_id in (one, two):
        assert (await get(service, attachment_id)).object_purge_time == extended.expire_time


async def test_a_hold_released_while_its_owner_adds_to_it_is_another_one(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    old = await held(service, one, hold_owner="job", hold_ttl=9 * HOUR)
    async with service.row_locked(one):
        releasing = asyncio.create_task(release(service, old.hold_id))
        await service.until_blocked(1)
        adding = asyncio.create_task(held(service, two, hold_owner="job"))
        await service.until_blocked(2)
    assert (await releasing).HasField("release_time")
    new = await adding
    assert new.hold_id != old.hold_id
    assert new.attachment_count == 1
    assert (await get(service, two)).object_purge_time == new.expire_time


async def test_a_hold_that_cannot_be_released_in_time_is_not_half_released(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id)
    request = pb.ReleaseHoldRequest(tenant_id=TENANT, hold_id=hold.hold_id)
    async with service.row_locked(attachment_id):
        with pytest.raises(grpc.aio.AioRpcError):
            await service.attachments.ReleaseHold(
                request, metadata=service.metadata, timeout=timedelta(seconds=0.3).total_seconds()
            )
    assert (await get(service, attachment_id)).object_purge_time == hold.expire_time
    assert (await extend(service, hold.hold_id, HOUR)).hold_id == hold.hold_id
