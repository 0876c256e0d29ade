"""Every method once, and whole files, with the real service and object storage."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from attachery.v1 import resources_pb2 as resources
from attachery_client import AttacheryClient, TransferFailed, errors
from attachery_client.http import HttpTransfer
from attachery_client.transfer import read_body
from support.service_fixtures import ServiceUnderTest

TENANT = "acme"
CONTENT = b"%PDF-1.7 no, not really\n" * 1000


class BrokenTransfer(HttpTransfer):
    """Never completes a transfer."""

    async def send(self, *_: object, **__: object) -> None:
        raise TransferFailed("storage answered 403 AccessDenied", status=403)


class SlowTransfer(HttpTransfer):
    """Does not complete a transfer in time."""

    async def send(self, *_: object, **__: object) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(CONTENT)
    return path


async def only_state(service: ServiceUnderTest) -> str:
    """The state of the one session there is."""
    state: str = await service.database.fetchval("SELECT state FROM upload_sessions")
    return state


@pytest.mark.requirement("L8")
async def test_every_call(client: AttacheryClient, service: ServiceUnderTest) -> None:
    body = read_body(b"hello\n", ("md5", "sha256"))
    started = await client.start_upload_session(
        tenant_id=TENANT,
        filename="hello.txt",
        content_type="text/plain",
        size_bytes=body.size,
        checksums=body.digests,
        ttl=timedelta(minutes=5),
    )
    attachment_id = started.session.attachment_id
    assert await service.send(started.target, b"hello\n") < 300
    completed = await client.complete_upload_session(
        attachment_id, tenant_id=TENANT, checksums=body.digests
    )
    assert completed.checks
    got = await client.get_upload_session(attachment_id, tenant_id=TENANT)
    assert got.session.state == resources.UPLOAD_SESSION_STATE_READY
    attachment = (await client.get_attachment(attachment_id, tenant_id=TENANT)).attachment
    assert attachment == completed.attachment
    resolved = await client.resolve_attachments([attachment_id], tenant_id=TENANT)
    assert resolved.results[0].attachment == attachment
    download = await client.create_download_url(
        attachment_id, tenant_id=TENANT, ttl=timedelta(minutes=1), disposition="inline"
    )
    assert await service.fetch(download.url) == b"hello\n"


async def test_cancel(client: AttacheryClient) -> None:
    started = await client.start_upload_session(
        tenant_id=TENANT, filename="a", content_type="text/plain"
    )
    answer = await client.cancel_upload_session(started.session.attachment_id, tenant_id=TENANT)
    assert answer.session.state == resources.UPLOAD_SESSION_STATE_CANCELLED


async def test_a_file_there_and_back(client: AttacheryClient, file: Path, tmp_path: Path) -> None:
    attachment = await client.upload(
        file, tenant_id=TENANT, checksums=("md5", "sha256"), metadata={"ticket": "1"}
    )
    assert (attachment.filename, attachment.content_type) == ("report.pdf", "application/pdf")
    assert attachment.size_bytes == len(CONTENT)
    assert attachment.checksums.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert attachment.checksums.md5
    assert attachment.metadata == {"ticket": "1"}
    back = tmp_path / "back.pdf"
    assert await client.download(attachment.attachment_id, back, tenant_id=TENANT) == back
    assert (await asyncio.to_thread(back.read_bytes)) == CONTENT


async def test_bytes_without_digests(client: AttacheryClient) -> None:
    attachment = await client.upload(
        CONTENT, tenant_id=TENANT, filename="a.bin", checksums=(), content_id="<logo@mail>"
    )
    assert attachment.content_type == "application/octet-stream"
    assert attachment.content_id == "logo@mail"
    assert attachment.is_inline
    assert await client.download(attachment.attachment_id, tenant_id=TENANT) == CONTENT


async def test_bytes_need_a_name(client: AttacheryClient) -> None:
    with pytest.raises(ValueError, match="filename"):
        await client.upload(b"x", tenant_id=TENANT)


async def test_a_form_target_is_followed(client: AttacheryClient, file: Path) -> None:
    started = await client.start_upload_session(
        tenant_id=TENANT, filename="report.pdf", content_type="application/pdf"
    )
    assert started.target.method == "POST"
    transfer = HttpTransfer()
    try:
        await transfer.send(started.target, read_body(file, ()))
    finally:
        await transfer.close()
    completed = await client.complete_upload_session(
        started.session.attachment_id, tenant_id=TENANT, size_bytes=len(CONTENT)
    )
    assert completed.attachment.size_bytes == len(CONTENT)


async def test_a_transfer_that_fails_cancels_the_session(
    client: AttacheryClient, service: ServiceUnderTest, file: Path
) -> None:
    client._connection.channel._transfer = BrokenTransfer()
    with pytest.raises(TransferFailed) as caught:
        await client.upload(file, tenant_id=TENANT)
    assert caught.value.status == 403
    assert await only_state(service) == "cancelled"


async def test_a_transfer_that_takes_too_long_cancels_the_session(
    client: AttacheryClient, service: ServiceUnderTest, file: Path
) -> None:
    client._connection.channel._transfer = SlowTransfer()
    with pytest.raises(errors.DeadlineExceeded, match="upload"):
        await client.upload(file, tenant_id=TENANT, timeout=0.5)
    assert await only_state(service) == "cancelled"


async def test_a_failed_upload_with_an_id_of_its_own_can_be_repeated(
    client: AttacheryClient, service: ServiceUnderTest, file: Path
) -> None:
    client._connection.channel._transfer = BrokenTransfer()
    with pytest.raises(TransferFailed):
        await client.upload(file, tenant_id=TENANT, request_id="once")
    assert await only_state(service) == "pending"
    await client._connection.channel._transfer.close()
    client._connection.channel._transfer = None
    await client.upload(file, tenant_id=TENANT, request_id="once")
    assert await only_state(service) == "ready"


async def test_a_download_of_other_bytes_is_refused(
    client: AttacheryClient, service: ServiceUnderTest, file: Path, tmp_path: Path
) -> None:
    attachment = await client.upload(file, tenant_id=TENANT)
    await service.database.execute(
        "UPDATE upload_sessions SET verified_checksums = $1", '{"sha256": "%s"}' % ("0" * 64)
    )
    back = tmp_path / "back.pdf"
    with pytest.raises(TransferFailed, match="SHA-256"):
        await client.download(attachment.attachment_id, back, tenant_id=TENANT)
    assert not await asyncio.to_thread(back.exists)


async def test_an_unknown_id_leaves_no_file(client: AttacheryClient, tmp_path: Path) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    with pytest.raises(errors.AttachmentNotFound):
        await client.download(unknown, tmp_path / "a", tenant_id=TENANT)
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
