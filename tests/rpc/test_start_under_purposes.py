"""Purposes: the requirements of a policy file for sessions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from attachery.v1 import resources_pb2 as pb
from support.failures import failure
from support.service_fixtures import MakeService, ServiceUnderTest

FILE = """
[default]
max_size = 100

[avatar]
max_size = 1000
size_required = true
checksum_required = true
allowed_content_types = ["image/*"]
default_ttl = 120
max_ttl = 600
object_retention = "P1D"

[draft]
terminal_on_mismatch = false

[scan]
sniffing = "enforce"
"""

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + b"\x00" * 17


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path) -> ServiceUnderTest:
    path = tmp_path / "purposes.toml"
    path.write_text(FILE, encoding="utf-8")
    return await make_service(purposes=path)


async def test_a_session_is_started_under_the_policy_of_its_purpose(
    service: ServiceUnderTest,
) -> None:
    session = (
        await service.start(
            purpose="avatar",
            content_type="image/png",
            size_bytes=1000,
            checksums={"md5": "0" * 32},
        )
    ).session
    assert session.purpose == "avatar"
    assert session.max_size_bytes == 1000
    created = session.create_time.ToDatetime()
    assert session.expire_time.ToDatetime() - created == timedelta(seconds=120)
    assert session.object_purge_time.ToDatetime() - created == timedelta(days=1)
    assert (await service.start()).session.max_size_bytes == 100


async def test_all_requirements_of_a_purpose_are_reported_at_once(
    service: ServiceUnderTest,
) -> None:
    refused = await failure(service.start(purpose="avatar", ttl=timedelta(seconds=601)))
    assert refused.violations == [
        ("content_type", "CONTENT_TYPE_NOT_ALLOWED"),
        ("size_bytes", "SIZE_REQUIRED"),
        ("checksums", "CHECKSUM_REQUIRED"),
        ("ttl", "INVALID_TTL"),
    ]


async def test_the_limit_of_the_purpose_holds(service: ServiceUnderTest) -> None:
    refused = await failure(service.start(size_bytes=101))
    assert (refused.reason, refused.facts["maxSize"]) == ("SIZE_OUT_OF_RANGE", "100")


async def test_a_mismatch_that_is_not_final_leaves_the_session_for_another_try(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(purpose="draft", size_bytes=6)
    attachment_id = started.session.attachment_id
    await service.send(started.target, b"hello\n")
    wrong = {"checksums": {"md5": "0" * 32}, "request_id": "r-1"}
    assert (await failure(service.complete(attachment_id, **wrong))).reason == "CHECKSUM_MISMATCH"
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_PENDING
    assert await service.send(started.target, b"HELLO\n") == 200
    completed = await service.complete(attachment_id, request_id="r-2")
    assert completed.session.state == pb.UPLOAD_SESSION_STATE_READY
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1


@pytest.mark.requirement("P2")
async def test_sniffing_is_enforced_where_the_purpose_says_so(service: ServiceUnderTest) -> None:
    started = await service.start(
        purpose="scan", size_bytes=len(PNG), content_type="application/pdf"
    )
    await service.send(started.target, PNG)
    refused = await failure(service.complete(started.session.attachment_id))
    assert refused.reason == "CONTENT_TYPE_MISMATCH"


async def test_a_session_whose_purpose_left_the_file_is_completed_by_the_default(
    service: ServiceUnderTest, make_service: MakeService
) -> None:
    started = await service.start(purpose="draft", size_bytes=6)
    await service.send(started.target, b"hello\n")
    other = await make_service()
    completed = await other.complete(started.session.attachment_id)
    assert completed.session.state == pb.UPLOAD_SESSION_STATE_READY
    assert completed.session.purpose == "draft"
