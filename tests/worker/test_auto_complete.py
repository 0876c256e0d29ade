"""Auto-complete: the service completes a session whose client left after its upload."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import ListUploadSessionsRequest
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import Sweeper, opened_sweeper

BODY = b"hello\n"
ALMOST = timedelta(minutes=59, seconds=1)
RETRY = timedelta(seconds=31)
PENDING, READY = pb.UPLOAD_SESSION_STATE_PENDING, pb.UPLOAD_SESSION_STATE_READY
FAILED, EXPIRED = pb.UPLOAD_SESSION_STATE_FAILED, pb.UPLOAD_SESSION_STATE_EXPIRED


async def uploaded(service: ServiceUnderTest, body: bytes = BODY, **fields: object) -> str:
    started = await service.start(**{"size_bytes": len(BODY), "auto_complete": True, **fields})
    key = started.target.url.partition("?")[0].partition(f"{service.bucket}/")[2]
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=body, ContentType="text/plain")
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def test_the_wish_is_shown(service: ServiceUnderTest) -> None:
    wished = (await service.start(auto_complete=True)).session
    other = (await service.start()).session
    assert (wished.auto_complete, other.auto_complete) == (True, False)
    assert (await service.get(wished.attachment_id)).auto_complete
    listing = await service.uploads.ListUploadSessions(
        ListUploadSessionsRequest(tenant_id=TENANT), metadata=service.metadata
    )
    assert [s.auto_complete for s in listing.sessions] == [False, True]


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_an_upload_is_completed_shortly_before_it_would_expire(
    make_service: MakeService, seal: str, capfd: pytest.CaptureFixture[str]
) -> None:
    service = await make_service(seal=seal)
    async with opened_sweeper(service.settings) as sweeper:
        wished, other = await uploaded(service), await uploaded(service, auto_complete=False)
        await service.age(wished, ALMOST - timedelta(seconds=2))
        await sweeper()
        assert (await service.get(wished)).state == PENDING, "its client has time left"
        for attachment_id in (wished, other):
            await service.age(attachment_id, timedelta(seconds=2))
        await sweeper()
        assert (await service.get(wished)).state == READY
        assert (await service.get(other)).state == PENDING
        assert sweeper.counts()["auto_completed"] == 1
    actor = "SELECT actor FROM session_events WHERE state = 'ready'"
    assert await service.database.fetchval(actor) == "attachery"
    # The uploader's own Complete, which arrives late.
    assert (await service.complete(wished)).session.state == READY
    for request_id in ("", "r-1"):
        late = await failure(service.complete(wished, request_id=request_id))
        assert late.reason == "UPLOAD_ALREADY_COMPLETED"
    assert '"outcome": "READY"' in capfd.readouterr().err


async def test_a_missing_upload_is_checked_until_it_expires(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    started = await service.start(size_bytes=len(BODY), auto_complete=True, ttl={"seconds": 240})
    attachment_id = started.session.attachment_id
    await service.age(attachment_id, timedelta(seconds=181))
    await sweeper()
    assert (await service.get(attachment_id)).state == PENDING
    await service.age(attachment_id, RETRY)
    assert await service.send(started.target, BODY) == 200
    done = await sweeper()
    assert (await service.get(attachment_id)).state == READY
    assert not done.deferred
    missing = (await service.start(auto_complete=True)).session.attachment_id
    await service.age(missing, timedelta(hours=1))
    await sweeper()
    assert await service.events(missing) == ["pending", "expired"]


async def test_wrong_bytes_fail_it_as_the_clients_complete_would(
    service: ServiceUnderTest, sweeper: Sweeper, capfd: pytest.CaptureFixture[str]
) -> None:
    attachment_id = await uploaded(service, b"too long\n")
    await service.age(attachment_id, ALMOST)
    await sweeper()
    session = await service.get(attachment_id)
    assert session.state == FAILED
    assert session.failure.reason == "SIZE_MISMATCH"
    assert '"outcome": "SIZE_MISMATCH"' in capfd.readouterr().err
    assert (await failure(service.complete(attachment_id))).reason == "UPLOAD_FAILED"
    assert sweeper.counts()["auto_completed"] == 0


async def test_wrong_bytes_that_may_be_replaced_leave_it_pending_until_it_expires(
    make_service: MakeService, tmp_path: Path
) -> None:
    purposes = tmp_path / "purposes.toml"
    purposes.write_text("[default]\nterminal_on_mismatch = false\n", encoding="utf-8")
    service = await make_service(purposes=purposes)
    async with opened_sweeper(service.settings) as sweeper:
        attachment_id = await uploaded(service, b"too long\n")
        await service.age(attachment_id, ALMOST)
        await sweeper()
        assert (await service.get(attachment_id)).state == PENDING
        await service.age(attachment_id, timedelta(minutes=1))
        await sweeper()
        assert (await service.get(attachment_id)).state == EXPIRED


async def test_it_ignores_sessions_without_auto_complete_and_closed_ones(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    cancelled = await uploaded(service)
    await service.cancel(cancelled)
    for attachment_id in (await uploaded(service, auto_complete=False), cancelled):
        assert not await sweeper.sweep.auto_complete(TENANT, UUID(attachment_id))
    assert not await sweeper.sweep.auto_complete("other", UUID(cancelled))
    assert await service.events(cancelled) == ["pending", "cancelled"]
