"""Sealing: no URL ever handed out changes the result of Resolve. Runs on every test server."""

from __future__ import annotations

import pytest

from attachery.v1 import attachments_pb2
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

BODY, OTHER = b"the verified bytes", b"other, equally long"[:18]

assert len(BODY) == len(OTHER)


async def resolved_bytes(service: ServiceUnderTest, attachment_id: str) -> bytes:
    request = attachments_pb2.ResolveAttachmentsRequest(
        tenant_id=TENANT, attachment_ids=[attachment_id], include_download_urls=True
    )
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return await service.fetch(answer.results[0].download.url)


@pytest.mark.parametrize("seal", ["write_once", "copy"])
@pytest.mark.parametrize("declared_size", [len(BODY), None], ids=["put", "post"])
async def test_replaying_the_upload_url_after_ready_never_changes_the_resolved_bytes(
    make_service: MakeService, seal: str, declared_size: int | None
) -> None:
    service = await make_service(seal=seal)
    started = await service.start(size_bytes=declared_size)
    attachment_id = started.session.attachment_id
    assert await service.send(started.target, BODY) < 300
    assert (await service.complete(attachment_id)).attachment.size_bytes == len(BODY)
    await service.app.background.drain(5)

    status = await service.send(started.target, OTHER)
    if seal == "write_once" and declared_size is not None:
        assert status == 412  # object storage itself refuses it
    assert await resolved_bytes(service, attachment_id) == BODY
    request = attachments_pb2.CreateDownloadUrlRequest(
        tenant_id=TENANT, attachment_id=attachment_id
    )
    answer = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    assert await service.fetch(answer.url) == BODY


@pytest.mark.parametrize("declared_size", [len(BODY), None], ids=["put", "post"])
async def test_the_copy_seal_leaves_the_uploaded_object_behind_nowhere(
    make_service: MakeService, declared_size: int | None
) -> None:
    service = await make_service(seal="copy")
    started = await service.start(size_bytes=declared_size)
    await service.send(started.target, BODY)
    (uploaded,) = await service.keys_in_store()
    await service.complete(started.session.attachment_id)
    await service.app.background.drain(5)
    (sealed,) = await service.keys_in_store()
    assert sealed != uploaded


async def test_the_write_once_seal_copies_nothing(make_service: MakeService) -> None:
    service = await make_service(seal="write_once")
    started = await service.start(size_bytes=len(BODY))
    await service.send(started.target, BODY)
    before = await service.keys_in_store()
    await service.complete(started.session.attachment_id)
    await service.app.background.drain(5)
    assert await service.keys_in_store() == before


async def test_a_file_of_100_mib_takes_the_same_path_without_passing_through_the_service(
    make_service: MakeService,
) -> None:
    service = await make_service(seal="auto")
    size = 100 * 2**20
    started = await service.start(size_bytes=size)
    assert await service.send(started.target, bytes(size)) == 200
    completed = await service.complete(started.session.attachment_id)
    assert completed.attachment.size_bytes == size


async def test_the_probe_trusts_this_store_to_write_once(make_service: MakeService) -> None:
    assert (await make_service(seal="auto")).app.seal == "write_once"
