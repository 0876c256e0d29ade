"""Sealing: no URL ever handed out changes the result of Resolve. Runs on every test server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from attachery.v1 import attachments_pb2
from attachery.v1 import resources_pb2 as pb
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.uploading import in_chunks

BODY, OTHER = b"the verified bytes", b"other, equally long"[:18]

assert len(BODY) == len(OTHER)

# By the declared size, and the purpose's target of one that is not declared.
TARGETS = pytest.mark.parametrize(
    ("declared_size", "undeclared_size"),
    [(len(BODY), "form"), (None, "form"), (None, "put")],
    ids=["put", "post", "put of any size"],
)


async def made(
    make_service: MakeService, folder: Path, undeclared_size: str, **settings: Any
) -> ServiceUnderTest:
    path = folder / "purposes.toml"
    path.write_text(f'[default]\nundeclared_size = "{undeclared_size}"\n', encoding="utf-8")
    return await make_service(purposes=path, **settings)


async def resolved_bytes(service: ServiceUnderTest, attachment_id: str) -> bytes:
    request = attachments_pb2.ResolveAttachmentsRequest(
        tenant_id=TENANT, attachment_ids=[attachment_id], include_download_urls=True
    )
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return await service.fetch(answer.results[0].download.url)


@pytest.mark.parametrize("seal", ["write_once", "copy"])
@TARGETS
async def test_replaying_the_upload_url_after_ready_never_changes_the_resolved_bytes(
    make_service: MakeService,
    tmp_path: Path,
    seal: str,
    declared_size: int | None,
    undeclared_size: str,
) -> None:
    service = await made(make_service, tmp_path, undeclared_size, seal=seal)
    started = await service.start(size_bytes=declared_size)
    attachment_id = started.session.attachment_id
    assert await service.send(started.target, BODY) < 300
    assert (await service.complete(attachment_id)).attachment.size_bytes == len(BODY)
    await service.app.background.drain(5)

    status = await service.send(started.target, OTHER)
    if seal == "write_once" and started.target.method == "PUT":
        assert status == 412  # object storage itself refuses it
    assert await resolved_bytes(service, attachment_id) == BODY
    request = attachments_pb2.CreateDownloadUrlRequest(
        tenant_id=TENANT, attachment_id=attachment_id
    )
    answer = await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    assert await service.fetch(answer.url) == BODY


@TARGETS
async def test_the_copy_seal_leaves_the_uploaded_object_behind_nowhere(
    make_service: MakeService, tmp_path: Path, declared_size: int | None, undeclared_size: str
) -> None:
    service = await made(make_service, tmp_path, undeclared_size, seal="copy")
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


@pytest.mark.parametrize(("body", "outcome"), [(BODY, "READY"), (b"", "EMPTY_OBJECT")])
async def test_a_body_without_a_length_is_refused_by_object_storage_or_verified(
    make_service: MakeService,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    body: bytes,
    outcome: str,
) -> None:
    service = await made(make_service, tmp_path, "put")
    started = await service.start()
    attachment_id = started.session.attachment_id
    async with service.http.put(
        URL(started.target.url, encoded=True),
        data=in_chunks(body),
        headers=dict(started.target.headers),
    ) as answer:
        accepted = answer.status == 200
        assert accepted or answer.status == 411
    assert accepted or request.config.getoption("--store") != "ceph"
    if not accepted:
        assert (await failure(service.complete(attachment_id))).reason == "OBJECT_NOT_UPLOADED"
        assert await service.send(started.target, body) == 200
    if outcome == "READY":
        completed = await service.complete(attachment_id)
        assert completed.session.state == pb.UPLOAD_SESSION_STATE_READY
        assert completed.attachment.size_bytes == len(body)
    else:
        assert (await failure(service.complete(attachment_id))).reason == outcome


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
