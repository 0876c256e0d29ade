"""Updates of retention: both clocks move, within the policy, and neither passes a hold."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery_client.fields import duration
from support.failures import failure
from support.holding import HOUR, end, exactly, extend, get, held, release, state
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import Sweeper
from support.updating import update

DAY = timedelta(days=1)
PURPOSE = """
[archive]
default_ttl = 60
object_retention = "P2D"
max_object_retention = "P40D"
metadata_retention = "P3D"
max_metadata_retention = "P50D"
"""


async def due(service: ServiceUnderTest, attachment_id: str) -> datetime:
    found: datetime = await service.database.fetchval(
        "SELECT due_time FROM upload_sessions WHERE attachment_id = $1", attachment_id
    )
    return found


async def download_seconds(service: ServiceUnderTest, attachment_id: str) -> int:
    request = pb.CreateDownloadUrlRequest(
        tenant_id=TENANT, attachment_id=attachment_id, ttl=duration(7 * DAY)
    )
    answer = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    return answer.ttl.seconds


async def test_longer_retention_keeps_bytes_that_were_due(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready()
    updated = await update(service, attachment_id, object_retention=3 * HOUR)
    assert exactly(updated.object_purge_time) - exactly(updated.create_time) == 3 * HOUR
    await service.age(attachment_id, HOUR + timedelta(minutes=1))
    await sweeper()
    assert await state(service, attachment_id) == "READY"
    assert len(await service.keys_in_store()) == 1
    kept = await get(service, attachment_id)
    assert await due(service, attachment_id) == exactly(kept.object_purge_time)
    await service.age(attachment_id, 2 * HOUR)
    await sweeper()
    assert await state(service, attachment_id) == "DELETED"
    assert await service.keys_in_store() == set()


async def test_shorter_retention_deletes_the_bytes_sooner(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready(object_retention=20 * DAY)
    updated = await update(service, attachment_id, object_retention=2 * HOUR)
    assert await due(service, attachment_id) == exactly(updated.object_purge_time)
    assert await download_seconds(service, attachment_id) <= 7200
    await service.age(attachment_id, 2 * HOUR)
    await sweeper()
    assert await service.keys_in_store() == set()
    assert await service.events(attachment_id) == ["pending", "ready", "ready", "deleted"]


async def test_bytes_never_end_before_the_deadline_nor_metadata_before_the_bytes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(object_retention=3 * DAY, ttl=2 * HOUR)
    updated = await update(service, attachment_id, object_retention=timedelta(seconds=1))
    assert exactly(updated.object_purge_time) - exactly(updated.create_time) == 2 * HOUR
    updated = await update(service, attachment_id, object_retention=3 * DAY, metadata_retention=DAY)
    assert updated.metadata_purge_time == updated.object_purge_time
    updated = await update(service, attachment_id, object_retention=5 * DAY)
    assert updated.metadata_purge_time == updated.object_purge_time
    updated = await update(service, attachment_id, metadata_retention=2 * DAY)
    assert updated.metadata_purge_time == updated.object_purge_time
    assert exactly(updated.object_purge_time) - exactly(updated.create_time) == 5 * DAY


async def test_a_retention_that_has_ended_is_refused(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(object_retention=10 * DAY)
    await service.age(attachment_id, 2 * DAY)
    before = await get(service, attachment_id)
    refused = await failure(update(service, attachment_id, object_retention=2 * DAY))
    assert refused.violations == [("object_retention", "INVALID_OBJECT_RETENTION")]
    assert refused.facts["rule"] == "must end in the future"
    # The policy's own retention, an hour, has ended too.
    refused = await failure(update(service, attachment_id, ["object_retention"]))
    assert refused.reason == "INVALID_OBJECT_RETENTION"
    # Metadata that has been kept long enough ends with the bytes.
    updated = await update(service, attachment_id, metadata_retention=DAY)
    assert updated.metadata_purge_time == updated.object_purge_time == before.object_purge_time


async def test_the_limits_are_those_of_the_purpose_now(
    make_service: MakeService, tmp_path: Path
) -> None:
    path = tmp_path / "purposes.toml"
    path.write_text(PURPOSE, encoding="utf-8")
    service = await make_service(purposes=path)
    attachment_id = await service.ready(purpose="archive")
    updated = await update(service, attachment_id, object_retention=40 * DAY)
    assert exactly(updated.object_purge_time) - exactly(updated.create_time) == 40 * DAY
    refused = await failure(update(service, attachment_id, metadata_retention=51 * DAY))
    assert refused.violations == [("metadata_retention", "INVALID_METADATA_RETENTION")]
    updated = await update(service, attachment_id, ["object_retention", "metadata_retention"])
    assert exactly(updated.object_purge_time) - exactly(updated.create_time) == 2 * DAY
    assert exactly(updated.metadata_purge_time) - exactly(updated.create_time) == 3 * DAY
    # A purpose that the settings no longer have is limited like the default one.
    without = await make_service()
    refused = await failure(update(without, attachment_id, object_retention=40 * DAY))
    assert refused.violations == [("object_retention", "INVALID_OBJECT_RETENTION")]
    updated = await update(without, attachment_id, object_retention=30 * DAY)
    assert exactly(updated.object_purge_time) - exactly(updated.create_time) == 30 * DAY


async def test_held_bytes_outlive_a_shorter_retention(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await service.ready(object_retention=10 * DAY)
    hold = await held(service, attachment_id, hold_ttl=3 * DAY)
    updated = await update(service, attachment_id, object_retention=HOUR, metadata_retention=DAY)
    assert updated.object_purge_time == updated.metadata_purge_time == hold.expire_time
    assert await get(service, attachment_id) == updated
    longer = await extend(service, hold.hold_id, 4 * DAY)
    shown = await get(service, attachment_id)
    assert shown.object_purge_time == shown.metadata_purge_time == longer.expire_time
    await service.database.execute(
        "UPDATE upload_sessions SET create_time = create_time - interval '1 h',"
        " expire_time = expire_time - interval '1 h',"
        " object_purge_time = object_purge_time - interval '1 h', due_time = now()"
    )
    await sweeper()
    assert await state(service, attachment_id) == "READY"
    await release(service, hold.hold_id)
    await sweeper()
    assert await state(service, attachment_id) == "DELETED"
    assert await service.keys_in_store() == set()


@pytest.mark.parametrize("mask", [["object_retention"], ["metadata_retention"]])
async def test_a_renewed_hold_limits_both_retentions(
    service: ServiceUnderTest, mask: list[str]
) -> None:
    attachment_id = await service.ready(metadata_retention=DAY)
    hold = await held(service, attachment_id, hold_ttl=2 * HOUR)
    longer = await extend(service, hold.hold_id, 5 * DAY)
    updated = await update(service, attachment_id, mask)
    for shown in (updated, await get(service, attachment_id)):
        assert shown.object_purge_time == longer.expire_time
        assert exactly(shown.metadata_purge_time) >= exactly(longer.expire_time)
    await end(service, hold.hold_id)
    shown = await get(service, attachment_id)
    assert exactly(shown.object_purge_time) - exactly(shown.create_time) == HOUR
