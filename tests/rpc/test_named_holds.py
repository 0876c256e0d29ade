"""Holds found by id, by owner or by attachment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from attachery.v1.resources_pb2 import Hold
from attachery_service.domain.identity import Scope
from support.failures import failure
from support.holding import HOUR, end, extend, get, get_hold, held, list_holds, release
from support.service_fixtures import ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def listed(service: ServiceUnderTest, **fields: Any) -> list[str]:
    return [hold.hold_id for hold in (await list_holds(service, **fields)).holds]


async def pages(
    call: Callable[..., Awaitable[Any]], service: ServiceUnderTest, name: str, **fields: Any
) -> list[list[Any]]:
    """The items of each page."""
    found, token = list[list[Any]](), ""
    while token or not found:
        answer = await call(service, page_token=token, **fields)
        found.append(list(getattr(answer, name)))
        token = answer.next_page_token
    return found


async def test_a_hold_is_found_by_its_id_and_by_its_owner(service: ServiceUnderTest) -> None:
    ids = [await service.ready() for _ in range(3)]
    hold = await held(service, *reversed(ids), hold_owner="job")
    for name in ({"hold_id": hold.hold_id}, {"hold_owner": "job"}):
        found = await get_hold(service, **name)
        assert list(found.attachment_ids) == ids
        assert (found.hold.hold_id, found.hold.expire_time) == (hold.hold_id, hold.expire_time)
        assert (found.hold.attachment_count, found.hold.created_by) == (3, "tester")
        assert not found.next_page_token
    assert hold.created_by == "tester"


async def test_the_ids_of_a_hold_come_page_by_page(service: ServiceUnderTest) -> None:
    ids = [await service.ready() for _ in range(3)]
    hold = await held(service, *ids)
    read = partial(pages, get_hold, service, "attachment_ids", hold_id=hold.hold_id)
    assert await read(page_size=2) == [ids[:2], ids[2:]]
    assert await read(page_size=3) == [ids]
    assert await read(page_size=1) == [[i] for i in ids]


async def test_a_hold_that_has_ended_is_found_by_its_id_only(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    over = await held(service, attachment_id, hold_owner="over")
    released = await held(service, attachment_id, hold_owner="released")
    await end(service, over.hold_id)
    await release(service, released.hold_id)
    before = await service.database.fetch("SELECT * FROM holds ORDER BY hold_id")
    for owner in ("over", "released", "unknown"):
        for call in (
            get_hold(service, hold_owner=owner),
            extend(service, "", HOUR, hold_owner=owner),
            release(service, "", hold_owner=owner),
        ):
            missing = await failure(call)
            assert (missing.code, missing.reason) == (
                grpc.StatusCode.NOT_FOUND,
                "HOLD_NOT_FOUND",
            )
            assert missing.facts["holdOwner"] == owner
            assert "holdId" not in missing.facts
    assert await service.database.fetch("SELECT * FROM holds ORDER BY hold_id") == before
    found = await get_hold(service, hold_id=over.hold_id)
    assert list(found.attachment_ids) == [attachment_id]
    assert found.hold.ttl.ToTimedelta() == timedelta()
    found = await get_hold(service, hold_id=released.hold_id)
    assert list(found.attachment_ids) == []
    assert found.hold.HasField("release_time")


async def test_a_live_hold_is_extended_and_released_by_its_owner(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id, hold_owner="job")
    for ttl in (5 * HOUR, 9 * HOUR):
        later = await extend(service, "", ttl, hold_owner="job")
        assert (later.hold_id, later.ttl.ToTimedelta()) == (hold.hold_id, ttl)
        assert (await get(service, attachment_id)).object_purge_time == later.expire_time
    released = await release(service, "", hold_owner="job", consumed=True)
    assert (released.hold_id, released.consumed) == (hold.hold_id, True)
    assert released.attachment_count == 1
    assert (await held(service, attachment_id, hold_owner="job")).hold_id != hold.hold_id


async def test_an_owner_is_one_of_its_caller(service: ServiceUnderTest) -> None:
    hold = await held(service, await service.ready(), hold_owner="job")
    await service.database.execute("UPDATE api_keys SET name = 'another'")
    for call in (
        get_hold(service, hold_owner="job"),
        extend(service, "", HOUR, hold_owner="job"),
        release(service, "", hold_owner="job"),
    ):
        assert (await failure(call)).reason == "HOLD_NOT_FOUND"
    assert await listed(service, hold_owner="job") == [hold.hold_id]


async def test_live_holds_are_listed_by_owner_and_by_attachment(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(), await service.ready()
    first = await held(service, one, hold_owner="job")
    unnamed = await held(service, one, two)
    await service.database.execute("UPDATE api_keys SET name = 'another'")
    theirs = await held(service, two, hold_owner="job")
    over, released = await held(service, one), await held(service, one)
    await end(service, over.hold_id)
    await release(service, released.hold_id)
    assert await listed(service, hold_owner="job") == [first.hold_id, theirs.hold_id]
    assert await listed(service, attachment_id=one) == [first.hold_id, unnamed.hold_id]
    assert await listed(service, attachment_id=two) == [unnamed.hold_id, theirs.hold_id]
    assert await listed(service, attachment_id=two, hold_owner="job") == [theirs.hold_id]
    assert await listed(service, attachment_id=UNKNOWN) == []
    assert await listed(service, hold_owner="unknown") == []
    (shown,) = (await list_holds(service, attachment_id=one, hold_owner="job")).holds
    later = await extend(service, first.hold_id, HOUR)
    shown.ttl.CopyFrom(later.ttl)
    assert shown == later == Hold.FromString(later.SerializeToString())


async def test_holds_are_listed_page_by_page(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    holds = [(await held(service, attachment_id)).hold_id for _ in range(3)]
    read = partial(pages, list_holds, service, "holds", attachment_id=attachment_id)
    found = await read(page_size=2)
    assert [[hold.hold_id for hold in page] for page in found] == [holds[:2], holds[2:]]
    assert len(await read(page_size=3)) == 1


async def test_holds_of_another_tenant_are_not_found(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    hold = await held(service, attachment_id, hold_owner="job")
    key = await service.new_key(tenants=["other"])
    service.metadata = (("authorization", f"Bearer {key}"),)
    for name in ({"hold_id": hold.hold_id}, {"hold_owner": "job"}):
        missing = await failure(get_hold(service, tenant_id="other", **name))
        assert missing.reason == "HOLD_NOT_FOUND"
    for wanted in ({"hold_owner": "job"}, {"attachment_id": attachment_id}):
        assert await listed(service, tenant_id="other", **wanted) == []
        refused = await failure(list_holds(service, **wanted))
        assert refused.reason == "TENANT_DENIED"


async def test_reading_holds_needs_the_right_to_resolve(service: ServiceUnderTest) -> None:
    key = await service.new_key(scopes=set(Scope) - {Scope.ATTACHMENTS_RESOLVE})
    service.metadata = (("authorization", f"Bearer {key}"),)
    for call in (
        get_hold(service, hold_owner="job"),
        list_holds(service, hold_owner="job"),
    ):
        refused = await failure(call)
        assert (refused.reason, refused.facts["scope"]) == ("SCOPE_MISSING", "attachments.resolve")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"hold_id": UNKNOWN, "hold_owner": "job"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_id": "x", "hold_owner": "job"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_id": "", "hold_owner": ""}, "hold_id", "INVALID_HOLD_ID"),
        ({"hold_id": "x"}, "hold_id", "INVALID_HOLD_ID"),
        ({"hold_id": "", "hold_owner": "a b"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_id": "", "hold_owner": "x" * 129}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_id": "", "hold_owner": "\u00fc"}, "hold_owner", "INVALID_HOLD_OWNER"),
    ],
)
async def test_a_hold_has_exactly_one_valid_name(
    service: ServiceUnderTest, fields: dict[str, Any], field: str, reason: str
) -> None:
    values = {"hold_owner": "", **fields}
    for call in (
        get_hold(service, **values),
        extend(service, ttl=HOUR, **values),
        release(service, **values),
    ):
        refused = await failure(call)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.violations == [(field, reason)]


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"hold_owner": ""}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"hold_owner": "a b"}, "hold_owner", "INVALID_HOLD_OWNER"),
        ({"attachment_id": "x"}, "attachment_id", "INVALID_ATTACHMENT_ID"),
        ({"tenant_id": ".x"}, "tenant_id", "INVALID_TENANT_ID"),
        ({"page_size": -1}, "page_size", "INVALID_PAGE_SIZE"),
        ({"page_token": "x"}, "page_token", "INVALID_PAGE_TOKEN"),
        ({"page_token": "\x00"}, "page_token", "INVALID_PAGE_TOKEN"),
    ],
)
async def test_a_bad_listing_is_refused_with_its_reason(
    service: ServiceUnderTest, fields: dict[str, Any], field: str, reason: str
) -> None:
    key = await service.new_key(tenants=None)
    service.metadata = (("authorization", f"Bearer {key}"),)
    refused = await failure(list_holds(service, **{"hold_owner": "job", **fields}))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [(field, reason)]
    if field.startswith("page"):
        refused = await failure(get_hold(service, **{"hold_owner": "job", **fields}))
        assert refused.violations == [(field, reason)]


@pytest.mark.bad_input
async def test_a_page_token_is_good_for_its_own_list_only(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    holds = [await held(service, attachment_id, hold_owner=owner) for owner in ("one", "two")]
    token = (await list_holds(service, attachment_id=attachment_id, page_size=1)).next_page_token
    for call in (
        list_holds(service, attachment_id=UNKNOWN, page_token=token),
        list_holds(service, attachment_id=attachment_id, hold_owner="one", page_token=token),
        get_hold(service, hold_id=holds[0].hold_id, page_token=token),
    ):
        refused = await failure(call)
        assert refused.violations == [("page_token", "INVALID_PAGE_TOKEN")]
