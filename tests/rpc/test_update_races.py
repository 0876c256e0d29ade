"""Updates concurrent with each other, with deletions, holds and the sweep."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from support.failures import failure
from support.holding import HOUR, end, get, reasons, state, take
from support.service_fixtures import TENANT, ServiceUnderTest
from support.sweep_fixtures import Sweeper
from support.updating import facts_of_updates, update


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


async def test_of_twenty_updates_of_one_revision_exactly_one_wins(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    answers = await asyncio.gather(
        *(
            update(service, attachment_id, filename=f"{number}", expected_revision=2)
            for number in range(20)
        ),
        return_exceptions=True,
    )
    (won,) = [each for each in answers if isinstance(each, resources_pb2.Attachment)]
    lost = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert {error.code() for error in lost} == {grpc.StatusCode.ABORTED}
    assert await get(service, attachment_id) == won
    assert len(await facts_of_updates(service, attachment_id)) == 1


async def test_updates_of_different_fields_all_take_effect(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    changes: list[dict[str, Any]] = [
        {"filename": "b"},
        {"content_id": "c"},
        {"is_inline": True},
        {"metadata": {"d": "e"}},
        {"object_retention": 2 * HOUR},
    ]
    await asyncio.gather(*(update(service, attachment_id, **each) for each in changes))
    found = await get(service, attachment_id)
    assert (found.filename, found.content_id, found.is_inline) == ("b", "c", True)
    assert found.metadata == {"d": "e"}
    kept = found.object_purge_time.ToDatetime() - found.create_time.ToDatetime()
    assert (kept, found.revision) == (2 * HOUR, 7)


async def test_one_request_id_at_once_takes_effect_once(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    answers = await asyncio.gather(
        *(
            update(service, attachment_id, filename="b", expected_revision=2, request_id="r-1")
            for _ in range(20)
        )
    )
    assert all(answer == answers[0] for answer in answers)
    assert len(await facts_of_updates(service, attachment_id)) == 1


async def test_a_deletion_before_an_update_wins(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    _, refused = await one_after_the_other(
        service,
        attachment_id,
        delete(service, attachment_id),
        failure(update(service, attachment_id, filename="b")),
    )
    assert refused.reason == "OBJECT_PURGED"
    assert (await get(service, attachment_id)).filename == "hello.txt"


async def test_an_update_before_a_deletion_is_part_of_the_metadata(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    await one_after_the_other(
        service,
        attachment_id,
        update(service, attachment_id, filename="b", object_retention=2 * HOUR),
        delete(service, attachment_id),
    )
    found = await get(service, attachment_id)
    assert (found.filename, found.revision) == ("b", 4)
    assert await state(service, attachment_id) == "DELETED"


@pytest.mark.parametrize("update_first", [True, False], ids=["update-first", "hold-first"])
async def test_a_concurrent_hold_outlasts_a_shorter_retention(
    service: ServiceUnderTest, update_first: bool
) -> None:
    attachment_id = await service.ready(object_retention=timedelta(days=9))
    shorter = update(service, attachment_id, object_retention=HOUR, metadata_retention=24 * HOUR)
    holding = take(service, attachment_id, hold_ttl=timedelta(days=2))
    calls = (shorter, holding) if update_first else (holding, shorter)
    outcomes = await one_after_the_other(service, attachment_id, *calls)
    answer = outcomes[1 if update_first else 0]
    assert reasons(answer) == [""]
    found = await get(service, attachment_id)
    assert found.object_purge_time == found.metadata_purge_time == answer.hold.expire_time
    (result,) = (await take(service, attachment_id)).results
    assert result.attachment == found
    await end(service, answer.hold.hold_id)


async def test_an_extension_before_the_sweep_keeps_the_bytes(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    await service.database.execute("UPDATE upload_sessions SET due_time = now() - interval '1 s'")
    async with service.row_locked(attachment_id):
        extending = asyncio.ensure_future(update(service, attachment_id, object_retention=3 * HOUR))
        await service.until_blocked(1)
        await sweeper()  # skips the locked row
    await extending
    await service.age(attachment_id, HOUR)
    await sweeper()
    assert await state(service, attachment_id) == "READY"
    assert len(await service.keys_in_store()) == 1


async def test_a_purge_before_an_update_wins(service: ServiceUnderTest, sweeper: Sweeper) -> None:
    attachment_id = await service.ready()
    async with service.database.acquire() as connection, connection.transaction():
        # Purges the bytes as the sweep does, after the update has read the attachment as READY.
        await connection.execute(
            "UPDATE upload_sessions SET delete_time = now(), booking = 'released',"
            " object_purge_time = now(), due_time = now(), revision = revision + 1"
        )
        call = asyncio.ensure_future(
            failure(update(service, attachment_id, object_retention=3 * HOUR))
        )
        await service.until_blocked(1)
    assert (await call).reason == "OBJECT_PURGED"
    await sweeper()
    assert await service.keys_in_store() == set()
