"""StorageRef: the location of the bytes, for callers with the scope, while the bytes exist."""

from __future__ import annotations

from datetime import timedelta

import pytest

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery.v1.upload_sessions_pb2 import (
    BatchCompleteUploadSessionsRequest,
    CompleteUploadSessionRequest,
)
from attachery_service.domain.identity import ALL_SCOPES, Scope
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

BODY = b"hello\n"
Attachment = resources_pb2.Attachment


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


async def get(service: ServiceUnderTest, attachment_id: str) -> Attachment:
    request = pb.GetAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.GetAttachment(request, metadata=service.metadata)
    return answer.attachment


async def resolve(service: ServiceUnderTest, attachment_id: str) -> Attachment:
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[attachment_id])
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return answer.results[0].attachment


async def uploaded(service: ServiceUnderTest) -> str:
    started = await service.start(size_bytes=len(BODY))
    assert await service.send(started.target, BODY) < 300
    return started.session.attachment_id


async def batch_completed(service: ServiceUnderTest, attachment_id: str) -> Attachment:
    item = BatchCompleteUploadSessionsRequest.Item(attachment_id=attachment_id)
    request = BatchCompleteUploadSessionsRequest(tenant_id=TENANT, items=[item])
    answer = await service.uploads.BatchCompleteUploadSessions(request, metadata=service.metadata)
    return answer.results[0].response.attachment


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_it_leads_to_exactly_the_verified_bytes(make_service: MakeService, seal: str) -> None:
    service = await make_service(seal=seal)
    attachment_id = await uploaded(service)
    completed = (await service.complete(attachment_id)).attachment
    storage = completed.storage
    assert storage.bucket == service.bucket
    pinned = {"Bucket": storage.bucket, "Key": storage.key, "IfMatch": f'"{storage.etag}"'}
    assert (await service.s3.head_object(**pinned))["ContentLength"] == len(BODY)
    answer = await service.s3.get_object(**pinned)
    async with answer["Body"] as body:
        assert await body.read() == BODY
    for read in (get, resolve):
        assert (await read(service, attachment_id)).storage == storage


async def test_callers_without_the_scope_get_no_storage_ref_in_any_response(
    service: ServiceUnderTest,
) -> None:
    told = await batch_completed(service, await uploaded(service))
    assert told.HasField("storage")
    key = await service.new_key(scopes=ALL_SCOPES - {Scope.ATTACHMENTS_STORAGE_READ})
    service.metadata = bearer(key)
    one, two = await uploaded(service), await uploaded(service)
    for attachment in (
        (await service.complete(one)).attachment,
        await batch_completed(service, two),
        await get(service, one),
        await resolve(service, one),
    ):
        assert attachment.size_bytes == len(BODY)
        assert not attachment.HasField("storage")


async def test_session_tokens_get_no_storage_ref(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=len(BODY))
    await service.send(started.target, BODY)
    request = CompleteUploadSessionRequest(
        tenant_id=TENANT, attachment_id=started.session.attachment_id
    )
    metadata = bearer(started.session_token)
    answer = await service.uploads.CompleteUploadSession(request, metadata=metadata)
    assert answer.attachment.size_bytes == len(BODY)
    assert not answer.attachment.HasField("storage")


async def test_it_is_gone_with_the_bytes(service: ServiceUnderTest) -> None:
    deleted, past = await service.ready(), await service.ready()
    assert (await get(service, deleted)).HasField("storage")
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=deleted)
    answer = await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    await service.age(past, timedelta(hours=1))
    for attachment in (answer.attachment, await get(service, deleted), await get(service, past)):
        assert attachment.state == resources_pb2.UPLOAD_SESSION_STATE_DELETED
        assert not attachment.HasField("storage")


async def test_a_repeated_complete_of_a_deleted_attachment_has_no_storage_ref(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    assert (await service.complete(attachment_id, request_id="r-1")).attachment.HasField("storage")
    request = pb.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    again = (await service.complete(attachment_id, request_id="r-1")).attachment
    assert again.state == resources_pb2.UPLOAD_SESSION_STATE_DELETED
    assert not again.HasField("storage")
