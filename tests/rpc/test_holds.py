"""Holds: a resolved attachment exists until its holder has fetched it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery_service.domain.identity import Scope
from support.failures import failure
from support.holding import (
    HOUR,
    end,
    exactly,
    extend,
    get,
    held,
    holds_stored,
    reasons,
    release,
    state,
    take,
)
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
DAY = timedelta(days=1)

FILE = """
[draft]
delete_when_consumed = true
"""


@pytest.fixture
async def consuming(make_service: MakeService, tmp_path: Path) -> ServiceUnderTest:
    """A service that deletes drafts once they are consumed."""
    path = tmp_path / "purposes.toml"
    path.write_text(FILE, encoding="utf-8")
    return await make_service(purposes=path, max_stored_bytes=1000)


async def test_a_hold_shows_owner_size_and_end(service: ServiceUnderTest) -> None:
    one, two = await service.ready(b"one"), await service.ready(b"two")
    answer = await take(service, one, two, one, hold_owner="message-7")
    assert reasons(answer) == ["", "", ""]
    hold = answer.hold
    assert str(UUID(hold.hold_id)) == hold.hold_id
    assert (hold.tenant_id, hold.owner, hold.attachment_count) == (TENANT, "message-7", 2)
    assert hold.ttl.ToTimedelta() == 2 * HOUR
    assert exactly(hold.expire_time) - exactly(hold.create_time) == 2 * HOUR
    assert not hold.HasField("release_time")
    assert not hold.consumed
    for result in answer.results:
        assert result.attachment.object_purge_time == hold.expire_time


async def test_a_held_attachment_outlives_its_retention(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(b"bytes")
    await take(service, attachment_id)
    await service.age(attachment_id, HOUR)
    assert await state(service, attachment_id) == "READY"
    answer = await take(service, attachment_id, include_download_urls=True)
    assert await service.fetch(answer.results[0].download.url) == b"bytes"
    request = pb.CreateDownloadUrlRequest(tenant_id=TENANT, attachment_id=attachment_id)
    single = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    assert await service.fetch(single.url) == b"bytes"


async def test_the_metadata_outlives_the_hold(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(metadata_retention=DAY)
    hold = await held(service, attachment_id, hold_ttl=7 * DAY)
    attachment = await get(service, attachment_id)
    assert attachment.metadata_purge_time == hold.expire_time
    assert attachment.revision == 2


async def test_when_its_hold_is_over_an_attachment_past_its_time_is_gone(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id)
    await service.age(attachment_id, HOUR)
    await end(service, hold.hold_id)
    assert await state(service, attachment_id) == "DELETED"
    answer = await take(service, attachment_id)
    assert reasons(answer) == ["OBJECT_PURGED"]
    assert not answer.HasField("hold")


async def test_nothing_is_held_without_a_request(service: ServiceUnderTest) -> None:
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[await service.ready()])
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    assert not answer.HasField("hold")
    assert await holds_stored(service) == 0


async def test_only_usable_attachments_are_held(service: ServiceUnderTest) -> None:
    good, pending = await service.ready(), (await service.start()).session.attachment_id
    answer = await take(service, pending, good, UNKNOWN, "no-uuid", good)
    assert reasons(answer) == [
        "UPLOAD_NOT_READY",
        "",
        "ATTACHMENT_NOT_FOUND",
        "INVALID_ATTACHMENT_ID",
        "",
    ]
    assert answer.hold.attachment_count == 1


async def test_a_hold_without_attachments_does_not_exist(service: ServiceUnderTest) -> None:
    pending = (await service.start()).session.attachment_id
    for ids in ([UNKNOWN], [pending], ["no-uuid"]):
        assert not (await take(service, *ids)).HasField("hold")
    assert await holds_stored(service) == 0


async def test_all_or_nothing_holds_all_or_nothing(service: ServiceUnderTest) -> None:
    good, gone = await service.ready(), await service.ready()
    pending = (await service.start()).session.attachment_id
    await service.age(gone, HOUR)
    for bad, reason in (
        (UNKNOWN, "ATTACHMENT_NOT_FOUND"),
        ("no-uuid", "INVALID_ATTACHMENT_ID"),
        (pending, "UPLOAD_NOT_READY"),
        (gone, "OBJECT_PURGED"),
    ):
        answer = await take(service, good, bad, all_or_nothing=True, hold_owner="job")
        assert reasons(answer) == ["BATCH_ABORTED", reason]
        assert not answer.HasField("hold")
    assert await holds_stored(service) == 0
    fine = await take(service, good, good, all_or_nothing=True, hold_owner="job")
    assert reasons(fine) == ["", ""]
    assert fine.hold.attachment_count == 1


async def test_the_same_owner_adds_to_the_same_hold_and_never_shortens_it(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    first = await held(service, one, hold_owner="job", hold_ttl=5 * HOUR)
    again = await held(service, one, hold_owner="job", hold_ttl=HOUR)
    assert (again.hold_id, again.expire_time) == (first.hold_id, first.expire_time)
    more = await held(service, two, hold_owner="job", hold_ttl=9 * HOUR)
    assert (more.hold_id, more.attachment_count) == (first.hold_id, 2)
    # Attachments that were held before are held for the hold's whole lifetime.
    for attachment_id in (one, two):
        assert (await get(service, attachment_id)).object_purge_time == more.expire_time
    assert await holds_stored(service) == 1


async def test_a_hold_without_an_owner_is_always_new(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    first, second = await held(service, attachment_id), await held(service, attachment_id)
    assert first.hold_id != second.hold_id
    assert first.owner == second.owner == ""


async def test_two_callers_with_the_same_owner_have_separate_holds(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    first = await held(service, attachment_id, hold_owner="job")
    await service.database.execute("UPDATE api_keys SET name = 'another'")
    second = await held(service, attachment_id, hold_owner="job")
    assert first.hold_id != second.hold_id


async def test_a_released_hold_is_not_added_to(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    first = await held(service, attachment_id, hold_owner="job")
    await release(service, first.hold_id)
    second = await held(service, attachment_id, hold_owner="job")
    assert first.hold_id != second.hold_id


async def test_an_owner_can_renew_an_expired_hold(service: ServiceUnderTest) -> None:
    gone, alive = await service.ready(), await service.ready()
    hold = await held(service, gone, alive, hold_owner="job")
    await service.age(gone, HOUR)
    await end(service, hold.hold_id)
    answer = await take(service, gone, alive, hold_owner="job")
    assert reasons(answer) == ["OBJECT_PURGED", ""]
    assert answer.hold.hold_id == hold.hold_id
    assert answer.hold.ttl.ToTimedelta() == 2 * HOUR
    assert await state(service, gone) == "DELETED"


async def test_one_owner_calling_twenty_times_at_once_has_one_hold(
    service: ServiceUnderTest,
) -> None:
    ids = [await service.ready() for _ in range(4)]
    calls = [held(service, ids[n % 4], ids[-n % 4], hold_owner="job") for n in range(20)]
    holds = await asyncio.gather(*calls)
    assert len({hold.hold_id for hold in holds}) == 1
    (last,) = {exactly((await get(service, i)).object_purge_time) for i in ids}
    assert last == max(exactly(hold.expire_time) for hold in holds)
    assert (await held(service, ids[0], hold_owner="job")).attachment_count == 4


async def test_a_hold_is_extended_and_never_shortened(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id)
    later = await extend(service, hold.hold_id, 5 * HOUR)
    assert later.ttl.ToTimedelta() == 5 * HOUR
    assert (later.hold_id, later.attachment_count) == (hold.hold_id, 1)
    assert (await get(service, attachment_id)).object_purge_time == later.expire_time
    same = await extend(service, hold.hold_id, HOUR)
    assert same.expire_time == later.expire_time
    assert (await get(service, attachment_id)).object_purge_time == later.expire_time


async def test_a_hold_that_has_ended_is_not_extended(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    over, released = await held(service, attachment_id), await held(service, attachment_id)
    await end(service, over.hold_id)
    await release(service, released.hold_id)
    before = await service.database.fetch("SELECT * FROM holds ORDER BY hold_id")
    expired = await failure(extend(service, over.hold_id, HOUR))
    assert (expired.code, expired.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "HOLD_EXPIRED",
    )
    assert (expired.facts["holdId"], expired.facts["httpStatus"]) == (over.hold_id, "410")
    gone = await failure(extend(service, released.hold_id, HOUR))
    assert (gone.reason, gone.facts["holdId"]) == ("HOLD_RELEASED", released.hold_id)
    assert await service.database.fetch("SELECT * FROM holds ORDER BY hold_id") == before


async def test_a_released_hold_prevents_no_deletion(service: ServiceUnderTest) -> None:
    past, alive = await service.ready(), await service.ready()
    hold = await held(service, past, alive)
    await service.age(past, HOUR)
    released = await release(service, hold.hold_id)
    assert released.HasField("release_time")
    assert released.ttl.ToTimedelta() == timedelta()
    assert (released.attachment_count, released.consumed) == (2, False)
    assert (await state(service, past), await state(service, alive)) == ("DELETED", "READY")
    retained = (await get(service, alive)).object_purge_time
    assert exactly(retained) < exactly(hold.expire_time)
    due = "SELECT due_time = object_purge_time FROM upload_sessions WHERE attachment_id = $1"
    assert await service.database.fetchval(due, past)


async def test_releasing_again_changes_nothing(consuming: ServiceUnderTest) -> None:
    attachment_id = await consuming.ready(purpose="draft")
    hold = await held(consuming, attachment_id)
    released = await release(consuming, hold.hold_id)
    assert await release(consuming, hold.hold_id, consumed=True) == released
    assert await state(consuming, attachment_id) == "READY"


async def test_a_hold_that_is_over_can_be_released(service: ServiceUnderTest) -> None:
    hold = await held(service, await service.ready())
    await end(service, hold.hold_id)
    released = await release(service, hold.hold_id)
    assert released.HasField("release_time")
    assert (await failure(extend(service, hold.hold_id, HOUR))).reason == "HOLD_RELEASED"


async def test_an_attachment_lives_until_its_last_hold_ends(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    longer = await held(service, attachment_id, hold_ttl=5 * HOUR)
    shorter = await held(service, attachment_id, hold_ttl=3 * HOUR)
    await service.age(attachment_id, HOUR)
    await release(service, longer.hold_id)
    assert (await get(service, attachment_id)).object_purge_time == shorter.expire_time
    await release(service, shorter.hold_id)
    assert await state(service, attachment_id) == "DELETED"


async def test_consumed_attachments_are_deleted_by_policy(
    consuming: ServiceUnderTest,
) -> None:
    draft, other = await consuming.ready(b"12345", purpose="draft"), await consuming.ready(b"12")
    hold = await held(consuming, draft, other)
    released = await release(consuming, hold.hold_id, consumed=True)
    assert released.consumed
    assert (await state(consuming, draft), await state(consuming, other)) == ("DELETED", "READY")
    assert await consuming.events(draft) == ["pending", "ready", "deleted"]
    event = await consuming.database.fetchrow(
        "SELECT actor, facts->>'hold_id' FROM session_events WHERE state = 'deleted'"
    )
    assert event
    assert tuple(event) == ("tester", hold.hold_id)
    row = await consuming.database.fetchrow(
        "SELECT delete_time = update_time, due_time = delete_time, held_until, revision"
        " FROM upload_sessions WHERE attachment_id = $1",
        draft,
    )
    assert row
    assert tuple(row) == (True, True, None, 3)
    stored = "SELECT sum(stored_bytes)::bigint FROM tenant_usage"
    assert await consuming.database.fetchval(stored) == 2
    assert reasons(await take(consuming, draft)) == ["OBJECT_PURGED"]


async def test_a_consumed_attachment_stays_for_other_holds(
    consuming: ServiceUnderTest,
) -> None:
    draft = await consuming.ready(purpose="draft")
    one, two = await held(consuming, draft), await held(consuming, draft)
    await release(consuming, one.hold_id, consumed=True)
    assert await state(consuming, draft) == "READY"
    await release(consuming, two.hold_id, consumed=True)
    assert await state(consuming, draft) == "DELETED"


async def test_a_hold_of_another_tenant_is_not_found(service: ServiceUnderTest) -> None:
    hold = await held(service, await service.ready())
    key = await service.new_key(tenants=["other"])
    service.metadata = (("authorization", f"Bearer {key}"),)
    for call in (partial(extend, ttl=HOUR), release):
        theirs = await failure(call(service, hold.hold_id, tenant_id="other"))
        none = await failure(call(service, UNKNOWN, tenant_id="other"))
        assert theirs.code is none.code is grpc.StatusCode.NOT_FOUND
        assert theirs.facts == {**none.facts, "holdId": hold.hold_id}
        assert (theirs.reason, theirs.message) == (none.reason, none.message)
        assert theirs.reason == "HOLD_NOT_FOUND"


async def test_holding_needs_the_right_to_resolve(service: ServiceUnderTest) -> None:
    hold = await held(service, await service.ready())
    key = await service.new_key(scopes=set(Scope) - {Scope.ATTACHMENTS_RESOLVE})
    service.metadata = (("authorization", f"Bearer {key}"),)
    for call in (extend(service, hold.hold_id, HOUR), release(service, hold.hold_id)):
        refused = await failure(call)
        assert (refused.reason, refused.facts["scope"]) == ("SCOPE_MISSING", "attachments.resolve")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"hold_ttl": timedelta(0)}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"hold_ttl": timedelta(milliseconds=999)}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"hold_ttl": timedelta(seconds=-1)}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"hold_ttl": 7 * DAY + timedelta(seconds=1)}, "hold_ttl", "INVALID_HOLD_TTL"),
        ({"hold_owner": "a b"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "x" * 129}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "ü"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "a\n"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "a\x00"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "job", "hold_ttl": None}, "hold_owner", "INVALID_HOLD_OWNER"),
    ],
)
async def test_a_bad_wish_to_hold_is_refused_with_its_reason(
    service: ServiceUnderTest, fields: dict[str, Any], field: str, reason: str
) -> None:
    refused = await failure(take(service, UNKNOWN, **fields))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [(field, reason)]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "ttl", [None, timedelta(0), timedelta(seconds=-1), 7 * DAY + timedelta(seconds=1)]
)
async def test_a_hold_is_not_extended_without_a_lifetime_in_range(
    service: ServiceUnderTest, ttl: timedelta | None
) -> None:
    refused = await failure(extend(service, UNKNOWN, ttl))
    assert refused.violations == [("ttl", "INVALID_HOLD_TTL")]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "hold_id",
    ["", "x", UNKNOWN.upper().replace("0", "A"), UNKNOWN.replace("-", ""), f"{UNKNOWN}\n"],
)
async def test_the_id_of_a_hold_has_one_form_only(service: ServiceUnderTest, hold_id: str) -> None:
    for call in (extend(service, hold_id, HOUR), release(service, hold_id)):
        refused = await failure(call)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.violations == [("hold_id", "INVALID_HOLD_ID")]
