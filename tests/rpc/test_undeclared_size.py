"""Uploads of undeclared size as PUTs: verified at Complete, and never too large."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from yarl import URL

from attachery.v1 import admin_pb2
from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import (
    GetUploadPolicyRequest,
    UploadPolicy,
    VerificationCheck,
)
from attachery_client import AttacheryClient, errors, from_status
from attachery_client.http import HttpTransfer
from attachery_client.testing import FakeAttachery
from attachery_client.transfer import read_body
from attachery_service.domain.checksums import Algorithm
from support.bad_stores import delayed_store
from support.failures import failure
from support.notifying import created, endpoint_of, records
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest
from support.sweep_fixtures import opened_sweeper
from support.uploading import checksums_of, in_chunks

PENDING, READY = pb.UPLOAD_SESSION_STATE_PENDING, pb.UPLOAD_SESSION_STATE_READY
FAILED, EXPIRED = pb.UPLOAD_SESSION_STATE_FAILED, pb.UPLOAD_SESSION_STATE_EXPIRED
MAX_SIZE = 10
BODY, LARGE = b"hello\n", b"x" * (MAX_SIZE + 1)
HOUR = timedelta(hours=1)
FILE = """
[default]
max_size = 10
undeclared_size = "{kind}"

[draft]
max_size = 10
undeclared_size = "{kind}"
terminal_on_mismatch = false

[note]
max_size = 10
undeclared_size = "{kind}"
allow_empty = true
"""
SEALS = pytest.mark.parametrize("seal", ["write_once", "copy"])


async def made(
    make_service: MakeService, folder: Path, kind: str = "put", **settings: Any
) -> ServiceUnderTest:
    path = folder / f"{kind}.toml"
    path.write_text(FILE.format(kind=kind), encoding="utf-8")
    return await make_service(purposes=path, **settings)


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path) -> ServiceUnderTest:
    return await made(make_service, tmp_path)


async def uploaded(service: ServiceUnderTest, body: bytes, **fields: Any) -> str:
    started = await service.start(**fields)
    assert started.target.method == "PUT"
    assert await service.send(started.target, body) == 200
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def policy_of(service: ServiceUnderTest, purpose: str = "") -> Any:
    request = GetUploadPolicyRequest(tenant_id=TENANT, purpose=purpose)
    return await service.uploads.GetUploadPolicy(request, metadata=service.metadata)


async def used(service: ServiceUnderTest) -> tuple[int, int, int]:
    usage = (await policy_of(service)).usage
    return usage.pending_sessions, usage.pending_bytes, usage.stored_bytes


async def require_failed(service: ServiceUnderTest, attachment_id: str) -> None:
    """The session has failed as too large, and its object is gone."""
    session = await service.get(attachment_id)
    assert session.state == FAILED
    assert session.failure.reason == "OBJECT_TOO_LARGE"
    assert session.failure.metadata == {"maxSize": "10", "actualSize": "11"}
    await service.app.background.drain(5)
    assert await service.keys_in_store() == set()


async def test_the_target_is_a_put_that_signs_everything_but_a_length(
    service: ServiceUnderTest,
) -> None:
    declared = checksums_of(BODY, Algorithm.SHA256, Algorithm.MD5)
    checksums = {"sha256": declared.sha256, "md5": declared.md5}
    started = await service.start(checksums=checksums)
    signed = parse_qs(urlsplit(started.target.url).query)["X-Amz-SignedHeaders"][0].split(";")
    assert started.target.method == "PUT"
    assert not started.target.form_fields
    assert not started.session.HasField("declared_size_bytes")
    assert set(signed) == {"host"} | {name.lower() for name in started.target.headers}
    assert set(signed) == {
        "host",
        "content-type",
        "content-md5",
        "if-none-match",
        "x-amz-checksum-sha256",
        "x-amz-sdk-checksum-algorithm",
    }
    assert (await service.start(size_bytes=6)).target.headers["Content-Length"] == "6"


@SEALS
async def test_an_upload_is_sealed_and_settles_the_reserved_maximum_by_its_size(
    make_service: MakeService, tmp_path: Path, seal: str
) -> None:
    service = await made(make_service, tmp_path, seal=seal)
    attachment_id = await uploaded(service, BODY)
    (target_key,) = await service.keys_in_store()
    assert await used(service) == (1, MAX_SIZE, 0)

    completed = await service.complete(attachment_id)

    assert completed.attachment.size_bytes == len(BODY)
    assert await used(service) == (0, 0, len(BODY))
    await service.app.background.drain(5)
    assert (await service.keys_in_store() == {target_key}) == (seal == "write_once")
    request = admin_pb2.AuditAttachmentsRequest(tenant_id=TENANT)
    audit = await service.admin.AuditAttachments(request, metadata=service.metadata)
    assert not audit.findings


async def test_the_largest_upload_is_ready(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service, LARGE[:MAX_SIZE])
    assert (await service.complete(attachment_id)).attachment.size_bytes == MAX_SIZE


@pytest.mark.sample(2)
@pytest.mark.parametrize("purpose", ["", "draft"], ids=["final", "replaceable"])
@pytest.mark.parametrize("fields", [{"size_bytes": 3}, {}], ids=["demanded", "undemanded"])
@SEALS
async def test_a_too_large_upload_fails_and_is_deleted_under_every_purpose(
    make_service: MakeService, tmp_path: Path, seal: str, purpose: str, fields: dict[str, int]
) -> None:
    service = await made(make_service, tmp_path, seal=seal)
    attachment_id = await uploaded(service, LARGE, purpose=purpose)

    shown = await service.complete(attachment_id, validate_only=True)
    (failed, *_) = [c for c in shown.checks if c.outcome == VerificationCheck.OUTCOME_FAILED]
    assert failed.kind == VerificationCheck.KIND_MAX_SIZE
    assert (await service.get(attachment_id)).state == PENDING

    for _ in range(2):
        refused = await failure(service.complete(attachment_id, request_id="r-1", **fields))
        assert refused.reason == "OBJECT_TOO_LARGE"
    await require_failed(service, attachment_id)
    assert (await failure(service.complete(attachment_id))).reason == "UPLOAD_FAILED"
    assert await service.events(attachment_id) == ["pending", "failed"]
    assert await used(service) == (1, MAX_SIZE, 0), "the URL can still write"


async def test_concurrent_completes_fail_a_too_large_upload_once(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service, LARGE, purpose="draft")
    refused = await asyncio.gather(*[failure(service.complete(attachment_id)) for _ in range(8)])
    assert {each.reason for each in refused} <= {"OBJECT_TOO_LARGE", "UPLOAD_FAILED"}
    await require_failed(service, attachment_id)
    assert await service.events(attachment_id) == ["pending", "failed"]


@pytest.mark.sample(1)
@pytest.mark.parametrize("atomic", [True, False])
async def test_a_too_large_item_fails_in_a_batch(service: ServiceUnderTest, atomic: bool) -> None:
    large = await uploaded(service, LARGE, purpose="draft")
    good = await uploaded(service, BODY)
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        answer = await client.batch_complete_upload_sessions(
            [large, good], tenant_id=TENANT, atomic=atomic
        )
    kinds = [type(from_status(result.status)) for result in answer.results]
    assert kinds == [errors.ObjectTooLarge, errors.BatchAborted if atomic else type(None)]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1
    assert (await service.get(large)).state == FAILED


@pytest.mark.sample(1)
@pytest.mark.parametrize("purpose", ["draft", ""], ids=["replaceable", "final"])
async def test_auto_complete_fails_a_too_large_upload(
    service: ServiceUnderTest, purpose: str
) -> None:
    attachment_id = await uploaded(service, LARGE, purpose=purpose, auto_complete=True)
    async with opened_sweeper(service.settings) as sweeper:
        await service.age(attachment_id, timedelta(minutes=59, seconds=1))
        await sweeper()
        await require_failed(service, attachment_id)


async def test_a_notification_fails_a_too_large_upload_before_its_deadline(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service, LARGE, purpose="draft", auto_complete=True)
    (key,) = await service.keys_in_store()
    async with endpoint_of(service.settings, service.http) as notified:
        await notified.tell(records(created(service.bucket, key)))
        await notified.until(unfinished=1)
    await require_failed(service, attachment_id)


@pytest.mark.sample(1)
@pytest.mark.parametrize("end", ["expired", "cancelled", "failed"])
async def test_a_too_large_object_never_outlives_its_session(
    service: ServiceUnderTest, end: str
) -> None:
    started = await service.start(purpose="draft")
    attachment_id = started.session.attachment_id
    assert await service.send(started.target, LARGE) == 200
    async with opened_sweeper(service.settings) as sweeper:
        if end == "cancelled":
            await service.cancel(attachment_id)
        elif end == "failed":
            await failure(service.complete(attachment_id))
        else:
            await service.age(attachment_id, HOUR)
        await sweeper()
        await service.app.background.drain(5)
        assert await service.keys_in_store() == set()
        if end != "expired":
            # The URL works until its deadline, and the object is deleted again afterwards.
            assert await service.send(started.target, LARGE) == 200
            await service.age(attachment_id, HOUR)
        for _ in range(2):
            await service.age(attachment_id, HOUR)
            await sweeper()
    assert await service.keys_in_store() == set()
    assert await used(service) == (0, 0, 0)


@pytest.mark.sample(2)
@pytest.mark.parametrize("purpose", ["", "note"], ids=["refused", "allowed"])
@SEALS
async def test_an_empty_upload_is_ready_only_where_it_is_allowed(
    make_service: MakeService, tmp_path: Path, seal: str, purpose: str
) -> None:
    service = await made(make_service, tmp_path, seal=seal)
    attachment_id = await uploaded(service, b"", purpose=purpose)
    if purpose == "note":
        completed = await service.complete(attachment_id)
        assert completed.attachment.size_bytes == 0
    else:
        assert (await failure(service.complete(attachment_id))).reason == "EMPTY_OBJECT"
        assert (await service.get(attachment_id)).state == FAILED


async def test_a_replaceable_upload_can_be_replaced_within_the_maximum(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(purpose="draft")
    attachment_id = started.session.attachment_id
    for body, size in ((BODY, 3), (b"", None)):
        assert await service.send(started.target, body) == 200
        await failure(service.complete(attachment_id, size_bytes=size))
        assert (await service.get(attachment_id)).state == PENDING
    assert await service.send(started.target, BODY) == 200
    assert (await service.complete(attachment_id)).session.state == READY


@pytest.mark.sample(2)
@pytest.mark.parametrize(("kind", "method"), [("put", "PUT"), ("form", "POST")])
@SEALS
async def test_pending_sessions_keep_their_target_when_the_purpose_changes(
    make_service: MakeService, tmp_path: Path, seal: str, kind: str, method: str
) -> None:
    before = await made(make_service, tmp_path, kind, seal=seal)
    other = "form" if kind == "put" else "put"
    after = await made(make_service, tmp_path, other, seal=seal)
    first = await before.start(request_id="once")
    attachment_id = first.session.attachment_id

    again = await after.start(request_id="once")

    assert again.session.attachment_id == attachment_id
    assert again.target.method == first.target.method == method
    assert again.target.headers == first.target.headers
    assert again.target.form_fields.keys() == first.target.form_fields.keys()
    assert (await after.start()).target.method != method
    assert await after.send(first.target, BODY) < 300
    completed = await after.complete(attachment_id)
    assert completed.attachment.size_bytes == len(BODY)
    await after.app.background.drain(5)
    copies = (kind, seal) != ("put", "write_once")
    (key,) = await after.keys_in_store()
    assert (key not in first.target.url + first.target.form_fields["key"]) == copies


async def test_a_too_large_upload_fails_also_after_the_purpose_has_changed(
    make_service: MakeService, tmp_path: Path
) -> None:
    before = await made(make_service, tmp_path)
    attachment_id = await uploaded(before, LARGE, purpose="draft")
    after = await made(make_service, tmp_path, "form")
    assert (await failure(after.complete(attachment_id))).reason == "OBJECT_TOO_LARGE"
    await require_failed(after, attachment_id)


async def test_object_storage_that_demands_a_length_leaves_the_session_pending(
    make_service: MakeService, tmp_path: Path, object_store: StoreUnderTest
) -> None:
    async def demand_a_length(request: web.BaseRequest) -> None:
        if "Content-Length" not in request.headers:  # as AWS
            code = "<Error><Code>MissingContentLength</Code></Error>"
            raise web.HTTPLengthRequired(text=code)

    async with delayed_store(object_store.endpoint, demand_a_length) as public:
        service = await made(make_service, tmp_path, s3_public_endpoint=public)
        started = await service.start()
        target, attachment_id = started.target, started.session.attachment_id
        url = URL(target.url, encoded=True)
        headers = dict(target.headers)
        async with service.http.put(url, data=in_chunks(BODY), headers=headers) as answer:
            assert (answer.status, "MissingContentLength" in await answer.text()) == (411, True)
        assert (await failure(service.complete(attachment_id))).reason == "OBJECT_NOT_UPLOADED"
        transfer = HttpTransfer()
        await transfer.send(target, read_body(BODY, ()))
        await transfer.close()
        assert (await service.complete(attachment_id)).session.state == READY


async def test_the_fake_has_the_same_targets_and_outcomes() -> None:
    async with FakeAttachery(undeclared_size="put") as fake:
        policy = (await fake.get_upload_policy(tenant_id=TENANT)).policy
        assert policy.undeclared_size == UploadPolicy.UNDECLARED_SIZE_PUT
        for body, error in (
            (BODY, None),
            (b"", errors.EmptyObject),
            (bytes(policy.max_size_bytes + 1), errors.ObjectTooLarge),
        ):
            started = await fake.start_upload_session(
                tenant_id=TENANT, filename="a.txt", content_type="text/plain"
            )
            attachment_id = started.session.attachment_id
            assert started.target.method == "PUT"
            fake.put(attachment_id, body)
            if error is None:
                await fake.complete_upload_session(attachment_id, tenant_id=TENANT)
                continue
            with pytest.raises(error):
                await fake.complete_upload_session(attachment_id, tenant_id=TENANT)
            answer = await fake.get_upload_session(attachment_id, tenant_id=TENANT)
            assert answer.session.failure.reason == error.reason


async def test_the_policy_shows_the_target(service: ServiceUnderTest, make_service: Any) -> None:
    assert (await policy_of(service)).policy.undeclared_size == UploadPolicy.UNDECLARED_SIZE_PUT
    built_in = await policy_of(await make_service())
    assert built_in.policy.undeclared_size == UploadPolicy.UNDECLARED_SIZE_FORM
