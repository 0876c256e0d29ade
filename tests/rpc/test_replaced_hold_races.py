"""A hold replaced while other calls change it ends with one list exactly."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery_client.fields import duration
from support.failures import failure
from support.holding import (
    HOUR,
    exactly,
    extend,
    get,
    get_hold,
    held,
    reasons,
    release,
    replace,
    state,
)
from support.service_fixtures import TENANT, ServiceUnderTest
from support.sweep_fixtures import Sweeper


async def delete(service: ServiceUnderTest, attachment_id: str) -> None:
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)


async def in_order(service: ServiceUnderTest, attachment_id: str, *calls: Any) -> list[Any]:
    """Returns the results of concurrent calls that wait for each other in this order."""
    tasks = []
    async with service.row_locked(attachment_id):
        for count, call in enumerate(calls, start=1):
            tasks.append(asyncio.ensure_future(call))
            await service.until_blocked(count)
    return await asyncio.gather(*tasks)


async def drafted(service: ServiceUnderTest, *ids: str) -> str:
    """Returns the id of the owner's hold on these attachments, renewed once."""
    await replace(service, *ids)
    return (await replace(service, *ids)).hold.hold_id


async def ids_held(service: ServiceUnderTest) -> list[str]:
    found = await get_hold(service, hold_owner="draft")
    assert found.hold.attachment_count == len(found.attachment_ids)
    for attachment_id in found.attachment_ids:
        attachment = await get(service, attachment_id)
        assert exactly(attachment.object_purge_time) >= exactly(found.hold.expire_time)
    return list(found.attachment_ids)


@pytest.mark.parametrize(
    "lists", [("a", "ab"), ("ac", "ab"), ("ab", "bc"), ("bc", "abc"), ("abc", "a"), ("a", "")]
)
async def test_of_two_replacements_at_once_the_later_one_counts(
    service: ServiceUnderTest, lists: tuple[str, str]
) -> None:
    ids = {name: await service.ready() for name in "abc"}
    await drafted(service, ids["a"], ids["b"])
    first, second = ([ids[name] for name in each] for each in lists)
    locked = ids["a"] if "a" in lists[0] else ids["b"]
    answers = await in_order(service, locked, replace(service, *first), replace(service, *second))
    assert reasons(answers[0]) == [""] * len(first)
    assert reasons(answers[1]) == [""] * len(second)
    if second:
        assert await ids_held(service) == second
    for attachment_id in set(ids.values()) - set(second):
        purged = exactly((await get(service, attachment_id)).object_purge_time)
        assert purged < exactly(answers[0].hold.expire_time)


async def test_an_addition_that_waited_for_a_replacement_is_not_lost(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    await drafted(service, one, two)
    adding = held(service, two, hold_owner="draft", hold_ttl=5 * HOUR)
    _, added = await in_order(service, one, replace(service, one), adding)
    assert added.attachment_count == 2
    assert await ids_held(service) == [one, two]


async def test_a_replacement_that_waited_for_an_addition_releases_it(
    service: ServiceUnderTest,
) -> None:
    one, two, three = [await service.ready() for _ in range(3)]
    await drafted(service, one, two)
    adding = held(service, three, hold_owner="draft", hold_ttl=5 * HOUR)
    _, replaced = await in_order(service, three, adding, replace(service, one, two))
    assert replaced.hold.attachment_count == 2
    assert await ids_held(service) == [one, two]


@pytest.mark.parametrize("releases_first", [True, False], ids=["release-first", "replace-first"])
async def test_a_hold_is_released_before_or_after_its_replacement(
    service: ServiceUnderTest, releases_first: bool
) -> None:
    one, two = await service.ready(), await service.ready()
    hold_id = await drafted(service, one, two)
    releasing, replacing = release(service, hold_id), replace(service, one)
    calls = (releasing, replacing) if releases_first else (replacing, releasing)
    outcomes = await in_order(service, one, *calls)
    if releases_first:
        assert outcomes[1].hold.hold_id != hold_id
        assert await ids_held(service) == [one]
    else:
        assert outcomes[1].attachment_count == 1
        missing = await failure(get_hold(service, hold_owner="draft"))
        assert missing.reason == "HOLD_NOT_FOUND"
        purged = exactly((await get(service, one)).object_purge_time)
        assert purged < exactly(outcomes[1].expire_time)


async def test_another_hold_taken_just_before_the_release_keeps_the_attachment(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    await replace(service, one, two, hold_ttl=9 * HOUR)
    # It ends earlier than the draft's, so it leaves the attachment's row as it is.
    taking = held(service, two, hold_ttl=5 * HOUR)
    other, _ = await in_order(service, two, taking, replace(service, one))
    assert (await get(service, two)).object_purge_time == other.expire_time
    assert await ids_held(service) == [one]


async def test_an_extension_waits_for_a_replacement(service: ServiceUnderTest) -> None:
    one, two = await service.ready(), await service.ready()
    await drafted(service, one, two)
    extending = extend(service, "", 9 * HOUR, hold_owner="draft")
    _, extended = await in_order(service, one, replace(service, one), extending)
    assert (extended.attachment_count, extended.ttl.ToTimedelta()) == (1, 9 * HOUR)
    assert await ids_held(service) == [one]


async def test_a_deletion_before_a_replacement_aborts_it(service: ServiceUnderTest) -> None:
    one, two = await service.ready(), await service.ready()
    await drafted(service, one)
    deleted, answer = await in_order(service, two, delete(service, two), replace(service, two))
    assert deleted is None
    assert reasons(answer) == ["OBJECT_PURGED"]
    assert await ids_held(service) == [one]


async def test_a_released_attachment_can_be_deleted_once_the_replacement_is_made(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    await drafted(service, one, two)
    async with service.row_locked(two):
        replacing = asyncio.ensure_future(replace(service, one))
        await service.until_blocked(1)
        assert (await failure(delete(service, two))).reason == "ATTACHMENT_HELD"
    await replacing
    await delete(service, two)
    assert (await state(service, one), await state(service, two)) == ("READY", "DELETED")
    assert (await failure(delete(service, one))).reason == "ATTACHMENT_HELD"
    assert await ids_held(service) == [one]


async def test_the_sweep_leaves_attachments_of_a_replacement_in_progress(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    one, two = await service.ready(), await service.ready()
    await drafted(service, one, two)
    for attachment_id in (one, two):
        await service.age(attachment_id, HOUR)
    await service.database.execute("UPDATE upload_sessions SET due_time = now()")
    async with service.row_locked(one):
        replacing = asyncio.ensure_future(replace(service, one))
        await service.until_blocked(1)
        await sweeper()
    assert reasons(await replacing) == [""]
    await service.age(two, timedelta(minutes=2))
    await sweeper()
    assert (await state(service, one), await state(service, two)) == ("READY", "DELETED")
    assert await service.events(two) == ["pending", "ready", "deleted"]


async def test_a_replacement_that_cannot_be_made_in_time_changes_nothing(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    await drafted(service, one, two)
    request = pb.ResolveAttachmentsRequest(
        tenant_id=TENANT,
        attachment_ids=[one],
        hold_ttl=duration(HOUR),
        hold_owner="draft",
        hold_mode=pb.HOLD_MODE_REPLACE,
    )
    async with service.row_locked(two):
        late = service.attachments.ResolveAttachments(
            request, metadata=service.metadata, timeout=timedelta(seconds=0.3).total_seconds()
        )
        assert (await failure(late)).code.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert await ids_held(service) == [one, two]
