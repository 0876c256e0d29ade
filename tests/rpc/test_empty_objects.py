"""Uploads of 0 bytes: good where the purpose allows them, refused everywhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import grpc
import pytest

from attachery.v1 import admin_pb2, attachments_pb2
from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import (
    GetUploadPolicyRequest,
    StartUploadSessionRequest,
    VerificationCheck,
)
from attachery_client import AttacheryClient, BatchItem, errors
from attachery_client.testing import FakeAttachery
from support.failures import failure
from support.raw_http import raw_request
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

READY = pb.UPLOAD_SESSION_STATE_READY
PENDING = pb.UPLOAD_SESSION_STATE_PENDING
FAILED = pb.UPLOAD_SESSION_STATE_FAILED
MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(b"").hexdigest()
CRCS = {"crc32c": "0" * 8, "crc64nvme": "0" * 16}
FILE = """
[note]
allow_empty = true
sniffing = "enforce"

[full]
"""
DECLARED = pytest.mark.parametrize("size", [0, None], ids=["declared", "undeclared"])


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path) -> ServiceUnderTest:
    return await made(make_service, tmp_path)


async def made(make_service: MakeService, tmp_path: Path, **settings: Any) -> ServiceUnderTest:
    path = tmp_path / "purposes.toml"
    path.write_text(FILE, encoding="utf-8")
    return await make_service(purposes=path, **settings)


async def uploaded(service: ServiceUnderTest, size: int | None, **fields: Any) -> str:
    started = await service.start(**{"purpose": "note", "size_bytes": size, **fields})
    assert await service.send(started.target, b"") < 300
    attachment_id: str = started.session.attachment_id
    return attachment_id


@pytest.mark.sample(2)
@DECLARED
@pytest.mark.parametrize("seal", ["write_once", "copy"])
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
async def test_an_empty_upload_is_verified_sealed_and_downloaded(
    make_service: MakeService, tmp_path: Path, size: int | None, seal: str, fast: bool
) -> None:
    service = await made(make_service, tmp_path, seal=seal, s3_fast=fast)
    checksums = {"md5": MD5, "sha256": SHA256, **CRCS}
    attachment_id = await uploaded(service, size, checksums=checksums)

    completed = await service.complete(attachment_id, size_bytes=0)

    assert completed.session.state == READY
    assert completed.session.HasField("size_bytes")
    assert completed.attachment.size_bytes == 0
    assert completed.attachment.checksums.sha256 == SHA256
    assert {check.outcome for check in completed.checks} == {VerificationCheck.OUTCOME_PASSED}
    request = attachments_pb2.CreateDownloadUrlRequest(
        tenant_id=TENANT, attachment_id=attachment_id
    )
    download = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    assert await service.fetch(download.url) == b""


@DECLARED
async def test_wrong_checksums_of_an_empty_upload_fail_it(
    service: ServiceUnderTest, size: int | None
) -> None:
    attachment_id = await uploaded(service, size)
    refused = await failure(service.complete(attachment_id, checksums={"md5": "0" * 32}))
    assert refused.reason == "CHECKSUM_MISMATCH"
    assert (await service.get(attachment_id)).state == FAILED


@pytest.mark.requirement("P5")
async def test_a_declared_size_is_exact_also_where_empty_uploads_are_allowed(
    service: ServiceUnderTest,
) -> None:
    for size, body in ((0, b"x"), (1, b"")):
        target = (await service.start(purpose="note", size_bytes=size)).target
        headers = [
            (name.encode(), value.encode())
            for name, value in target.headers.items()
            if name.lower() != "content-length"
        ]
        status, _ = await raw_request("PUT", target.url, headers, body)
        assert status >= 400
    undeclared = await uploaded(service, None)
    refused = await failure(service.complete(undeclared, size_bytes=1))
    assert refused.reason == "SIZE_MISMATCH"
    assert refused.facts["actualSize"] == "0"


async def test_an_empty_upload_is_written_once(service: ServiceUnderTest) -> None:
    started = await service.start(purpose="note", size_bytes=0)
    assert await service.send(started.target, b"") < 300
    assert await service.send(started.target, b"") == 412


async def test_other_purposes_refuse_empty_uploads_as_before(service: ServiceUnderTest) -> None:
    for purpose in ("", "full"):
        refused = await failure(service.start(purpose=purpose, size_bytes=0))
        assert refused.reason == "SIZE_OUT_OF_RANGE"
        assert refused.violations == [("size_bytes", "SIZE_OUT_OF_RANGE")]
        started = await service.start(purpose=purpose, size_bytes=None)
        assert await service.send(started.target, b"") >= 400
        assert await service.send(started.target, b"x") < 300
        attachment_id = started.session.attachment_id
        refused = await failure(service.complete(attachment_id, size_bytes=0))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.reason == "SIZE_OUT_OF_RANGE"
        assert (await service.get(attachment_id)).state == PENDING


async def test_an_empty_object_in_another_purpose_fails(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=None)
    assert await service.send(started.target, b"x") < 300
    (key,) = await service.keys_in_store()
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=b"", ContentType="text/plain")
    refused = await failure(service.complete(started.session.attachment_id))
    assert refused.reason == "EMPTY_OBJECT"
    assert (await service.get(started.session.attachment_id)).state == FAILED


async def test_an_empty_item_of_a_batch_is_valid_by_its_own_policy(
    service: ServiceUnderTest,
) -> None:
    empty = await uploaded(service, 0)
    other = await service.start(size_bytes=1)
    await service.send(other.target, b"x")
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        answer = await client.batch_complete_upload_sessions(
            tenant_id=TENANT,
            items=[
                BatchItem(empty, size_bytes=0),
                BatchItem(other.session.attachment_id, size_bytes=0),
            ],
        )
    codes = [result.status.code for result in answer.results]
    assert codes == [0, grpc.StatusCode.INVALID_ARGUMENT.value[0]]


async def test_an_empty_upload_counts_as_a_session_and_no_bytes(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = await made(make_service, tmp_path, max_pending_bytes=10, max_stored_bytes=10)
    attachment_id = await uploaded(service, 0)
    usage = await policy_of(service, "note", 0)
    assert (usage.usage.pending_sessions, usage.usage.pending_bytes) == (1, 0)
    await service.complete(attachment_id)
    assert (await policy_of(service, "note", 0)).usage.stored_bytes == 0
    request = admin_pb2.AuditAttachmentsRequest(tenant_id=TENANT)
    found = await service.admin.AuditAttachments(request, metadata=service.metadata)
    assert not found.findings


async def policy_of(service: ServiceUnderTest, purpose: str, size: int | None) -> Any:
    request = GetUploadPolicyRequest(tenant_id=TENANT, purpose=purpose, size_bytes=size)
    return await service.uploads.GetUploadPolicy(request, metadata=service.metadata)


async def test_the_policy_shows_whether_empty_uploads_are_allowed(
    service: ServiceUnderTest,
) -> None:
    note = await policy_of(service, "note", 0)
    assert note.policy.allow_empty
    assert note.route.name == "json"
    assert not (await policy_of(service, "full", None)).policy.allow_empty
    refused = await failure(policy_of(service, "full", 0))
    assert refused.reason == "SIZE_OUT_OF_RANGE"


async def test_the_client_uploads_and_downloads_an_empty_file(
    service: ServiceUnderTest, tmp_path: Path
) -> None:
    empty, copy = tmp_path / "empty.txt", tmp_path / "copy.txt"
    empty.touch()
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        attachment = await client.upload(empty, tenant_id=TENANT, purpose="note")
        assert attachment.size_bytes == 0
        await client.download(attachment.attachment_id, copy, tenant_id=TENANT)
    assert copy.read_bytes() == b""


async def test_a_repeated_start_returns_a_target_for_zero_bytes(
    service: ServiceUnderTest,
) -> None:
    request = StartUploadSessionRequest(
        tenant_id=TENANT,
        filename="a.txt",
        content_type="text/plain",
        purpose="note",
        request_id="once",
    )
    first = await service.uploads.StartUploadSession(request, metadata=service.metadata)
    again = await service.uploads.StartUploadSession(request, metadata=service.metadata)
    assert first.session.attachment_id == again.session.attachment_id
    assert await service.send(again.target, b"") < 300


async def test_the_fake_accepts_empty_uploads_if_configured() -> None:
    async with FakeAttachery(allow_empty=True) as fake:
        attachment = await fake.upload(b"", tenant_id=TENANT, filename="a.txt")
        assert attachment.size_bytes == 0
        assert await fake.download(attachment.attachment_id, tenant_id=TENANT) == b""
    async with FakeAttachery() as fake:
        with pytest.raises(errors.InvalidRequest):
            await fake.upload(b"", tenant_id=TENANT, filename="a.txt")


async def test_a_size_of_0_and_no_size_are_different_payloads_of_a_request_id(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(purpose="note", size_bytes=0, request_id="start")
    reused = await failure(service.start(purpose="note", request_id="start"))
    assert reused.reason == "REQUEST_ID_REUSED"
    again = await service.start(purpose="note", size_bytes=0, request_id="start")
    assert again.session.attachment_id == started.session.attachment_id

    assert await service.send(started.target, b"") < 300
    attachment_id = started.session.attachment_id
    await service.complete(attachment_id, size_bytes=0, request_id="complete")
    reused = await failure(service.complete(attachment_id, request_id="complete"))
    assert reused.reason == "REQUEST_ID_REUSED"
