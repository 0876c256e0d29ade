"""CancelUploadSession and GetUploadSession."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest

from attachery.v1 import resources_pb2 as pb
from support.failures import failure
from support.service_fixtures import ServiceUnderTest

CANCELLED = pb.UPLOAD_SESSION_STATE_CANCELLED


async def test_cancel_ends_a_pending_session_and_says_until_when_its_url_can_write(
    service: ServiceUnderTest,
) -> None:
    started = (await service.start(size_bytes=6)).session
    cancelled = await service.cancel(started.attachment_id)
    assert cancelled.state == CANCELLED
    assert cancelled.upload_url_expire_time == started.expire_time
    assert not cancelled.HasField("expire_time")
    assert cancelled.revision == 2
    assert await service.events(started.attachment_id) == ["pending", "cancelled"]


async def test_cancel_deletes_the_upload(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=6)
    await service.send(started.target, b"hello\n")
    await service.cancel(started.session.attachment_id)
    await service.app.background.drain(5)
    assert await service.keys_in_store() == set()


async def test_cancelling_again_changes_nothing_and_succeeds(service: ServiceUnderTest) -> None:
    attachment_id = (await service.start(size_bytes=6)).session.attachment_id
    first = await service.cancel(attachment_id, "r-1")
    assert await service.cancel(attachment_id, "r-1") == first
    assert await service.cancel(attachment_id) == first
    assert await service.events(attachment_id) == ["pending", "cancelled"]


async def test_a_cancels_request_id_is_bound_to_its_session(service: ServiceUnderTest) -> None:
    one = (await service.start(size_bytes=6)).session.attachment_id
    other = (await service.start(size_bytes=6)).session.attachment_id
    await service.cancel(one, "r-1")
    assert (await failure(service.cancel(other, "r-1"))).reason == "REQUEST_ID_REUSED"
    assert (await service.get(other)).state == pb.UPLOAD_SESSION_STATE_PENDING


async def test_cancel_is_refused_in_every_other_final_state(service: ServiceUnderTest) -> None:
    ready = await service.ready()
    assert (await failure(service.cancel(ready))).reason == "UPLOAD_ALREADY_COMPLETED"

    started = await service.start(size_bytes=6)
    failed = started.session.attachment_id
    await service.send(started.target, b"hello\n")
    await failure(service.complete(failed, size_bytes=5))
    assert (await failure(service.cancel(failed))).reason == "UPLOAD_FAILED"

    expired = (await service.start(size_bytes=6)).session.attachment_id
    await service.age(expired, timedelta(hours=1))
    refused = await failure(service.cancel(expired))
    assert refused.reason == "UPLOAD_EXPIRED"
    assert refused.facts["httpStatus"] == "410"


async def test_a_cancelled_session_cannot_be_completed(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=6)
    await service.send(started.target, b"hello\n")
    await service.cancel(started.session.attachment_id)
    refused = await failure(service.complete(started.session.attachment_id))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "UPLOAD_CANCELLED"
    assert refused.facts["httpStatus"] == "409"
    assert "PreconditionFailure" in refused.kinds


async def test_get_applies_the_deadline_at_the_very_moment_it_passes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = (await service.start(size_bytes=6)).session.attachment_id
    await service.age(attachment_id, timedelta(minutes=59))
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_PENDING
    await service.age(attachment_id, timedelta(minutes=1))
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_EXPIRED


@pytest.mark.requirement("N14")
async def test_metadata_is_readable_for_sixty_days_and_then_gone_from_every_read(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    await service.age(attachment_id, timedelta(days=59))
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_DELETED
    await service.age(attachment_id, timedelta(days=1))
    for call in (
        service.get(attachment_id),
        service.complete(attachment_id),
        service.cancel(attachment_id),
    ):
        assert (await failure(call)).reason == "ATTACHMENT_NOT_FOUND"
