"""A hold as a set: a Resolve replaces the attachments of its owner's hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery.v1.admin_pb2 import AuditAttachmentsRequest
from support.failures import failure
from support.holding import (
    HOUR,
    end,
    exactly,
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

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def ids_held(service: ServiceUnderTest) -> list[str]:
    """The attachments of the owner's hold."""
    return list((await get_hold(service, hold_owner="draft")).attachment_ids)


async def findings(service: ServiceUnderTest) -> list[Any]:
    request = AuditAttachmentsRequest(tenant_id=TENANT)
    answer = await service.admin.AuditAttachments(request, metadata=service.metadata)
    return list(answer.findings)


@pytest.mark.requirement("A7")
async def test_a_draft_with_one_of_three_attachments_left_keeps_exactly_that_one(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    ids = [await service.ready() for _ in range(3)]
    created = await replace(service, *ids)
    assert reasons(created) == ["", "", ""]
    updated = await replace(service, ids[1])
    assert reasons(updated) == [""]
    assert (updated.hold.hold_id, updated.hold.attachment_count) == (created.hold.hold_id, 1)
    for attachment_id in ids:
        await service.age(attachment_id, HOUR)
    await sweeper()
    assert [await state(service, i) for i in ids] == ["DELETED", "READY", "DELETED"]
    for attachment_id in (ids[0], ids[2]):
        assert await service.events(attachment_id) == ["pending", "ready", "deleted"]
    assert await service.events(ids[1]) == ["pending", "ready"]
    assert await ids_held(service) == [ids[1]]
    assert not await findings(service)


async def test_listed_attachments_are_added_and_others_released(
    service: ServiceUnderTest,
) -> None:
    one, two, three = [await service.ready() for _ in range(3)]
    first = (await replace(service, one, two, two)).hold
    retained = (await get(service, three)).object_purge_time
    again = (await replace(service, two, three)).hold
    assert (again.hold_id, again.attachment_count) == (first.hold_id, 2)
    assert await ids_held(service) == [two, three]
    assert exactly((await get(service, one)).object_purge_time) < exactly(first.expire_time)
    assert exactly(retained) < exactly(again.expire_time)
    for attachment_id in (two, three):
        assert (await get(service, attachment_id)).object_purge_time == again.expire_time


async def test_replacing_never_shortens_the_hold(service: ServiceUnderTest) -> None:
    one, two = await service.ready(), await service.ready()
    first = (await replace(service, one, hold_ttl=9 * HOUR)).hold
    for ids in ([one], [one, two], [two]):
        hold = (await replace(service, *ids, hold_ttl=HOUR)).hold
        assert hold.expire_time == first.expire_time
    later = (await replace(service, two, hold_ttl=20 * HOUR)).hold
    assert later.ttl.ToTimedelta() == 20 * HOUR
    assert (await get(service, two)).object_purge_time == later.expire_time


async def test_adding_after_replacing_adds_to_the_same_hold(service: ServiceUnderTest) -> None:
    one, two = await service.ready(), await service.ready()
    first = await held(service, one, hold_owner="draft", hold_mode=pb.HOLD_MODE_ADD)
    await replace(service, two)
    added = await held(service, one, hold_owner="draft")
    assert (added.hold_id, added.attachment_count) == (first.hold_id, 2)
    assert await ids_held(service) == [one, two]


async def test_a_released_attachment_stays_for_other_holds(service: ServiceUnderTest) -> None:
    one, two = await service.ready(), await service.ready()
    other = await held(service, one, hold_ttl=5 * HOUR)
    await replace(service, one, two, hold_ttl=9 * HOUR)
    await replace(service, two)
    assert (await get(service, one)).object_purge_time == other.expire_time
    assert not await findings(service)


async def test_if_one_id_fails_nothing_is_released(service: ServiceUnderTest) -> None:
    one, two, gone = [await service.ready() for _ in range(3)]
    pending = (await service.start()).session.attachment_id
    await service.age(gone, HOUR)
    await replace(service, one, two)
    before = await service.database.fetch("SELECT * FROM holds")
    for bad, reason in (
        (UNKNOWN, "ATTACHMENT_NOT_FOUND"),
        ("no-uuid", "INVALID_ATTACHMENT_ID"),
        (pending, "UPLOAD_NOT_READY"),
        (gone, "OBJECT_PURGED"),
    ):
        answer = await replace(service, one, bad, include_download_urls=True)
        assert reasons(answer) == ["BATCH_ABORTED", reason]
        assert not answer.HasField("hold")
        assert await ids_held(service) == [one, two]
    assert await service.database.fetch("SELECT * FROM holds") == before


async def test_replacing_with_no_ids_releases_the_hold(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    past, alive = await service.ready(), await service.ready()
    first = (await replace(service, past, alive)).hold
    await service.age(past, HOUR)
    answer = await replace(service, hold_ttl=None)
    assert list(answer.results) == []
    assert answer.hold.hold_id == first.hold_id
    assert answer.hold.HasField("release_time")
    assert (answer.hold.attachment_count, answer.hold.consumed) == (2, False)
    await sweeper()
    assert (await state(service, past), await state(service, alive)) == ("DELETED", "READY")
    assert (await failure(get_hold(service, hold_owner="draft"))).reason == "HOLD_NOT_FOUND"
    assert not (await replace(service)).HasField("hold")
    assert not await findings(service)
    new = (await replace(service, alive)).hold
    assert (new.hold_id != first.hold_id, new.attachment_count) == (True, 1)


async def test_an_expired_hold_keeps_none_of_its_former_attachments(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    first = (await replace(service, one)).hold
    await end(service, first.hold_id)
    assert (await replace(service, two)).hold.attachment_count == 1
    assert await ids_held(service) == [two]
    await end(service, first.hold_id)
    assert not (await replace(service)).HasField("hold")
    assert (await held(service, one, hold_owner="draft")).hold_id != first.hold_id
    assert await ids_held(service) == [one]


async def test_a_replaced_hold_loses_attachments_that_were_deleted(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    await replace(service, one, two)
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=one, force=True)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    assert await ids_held(service) == [one, two]
    assert reasons(await replace(service, one, two)) == ["OBJECT_PURGED", "BATCH_ABORTED"]
    assert (await replace(service, two)).hold.attachment_count == 1
    assert await ids_held(service) == [two]
    assert await state(service, one) == "DELETED"


async def test_owners_are_separate_for_each_caller(service: ServiceUnderTest) -> None:
    one, two = await service.ready(), await service.ready()
    mine = (await replace(service, one)).hold
    await service.database.execute("UPDATE api_keys SET name = 'another'")
    theirs = (await replace(service, two)).hold
    assert (mine.created_by, theirs.created_by) == ("tester", "another")
    assert await ids_held(service) == [two]
    assert list((await get_hold(service, hold_id=mine.hold_id)).attachment_ids) == [one]
    await release(service, "", hold_owner="draft")
    assert not (await get_hold(service, hold_id=mine.hold_id)).hold.HasField("release_time")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"hold_mode": 3}, "hold_mode", "INVALID_HOLD_MODE"),
        ({"hold_mode": -1}, "hold_mode", "INVALID_HOLD_MODE"),
        ({"hold_owner": ""}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "a b"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_ttl": None}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"hold_ttl": timedelta(0)}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"attachment_ids": [], "hold_owner": ""}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"attachment_ids": [], "hold_ttl": timedelta(0)}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"attachment_ids": [UNKNOWN] * 1001}, "attachment_ids", "BATCH_TOO_LARGE"),
        (
            {"attachment_ids": [], "hold_mode": pb.HOLD_MODE_ADD},
            "attachment_ids",
            "INVALID_ATTACHMENT_IDS",
        ),
    ],
)
async def test_a_bad_replacement_is_refused_with_its_reason(
    service: ServiceUnderTest, fields: dict[str, Any], field: str, reason: str
) -> None:
    await replace(service, await service.ready())
    refused = await failure(replace(service, UNKNOWN, **fields))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [(field, reason)]
    assert len(await ids_held(service)) == 1
