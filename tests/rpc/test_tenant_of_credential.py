"""A request without a tenant is for the one tenant that its credential covers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from attachery.v1 import admin_pb2 as adm
from attachery.v1 import attachments_pb2 as apb
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_client import AttacheryClient
from attachery_service.rpc.methods import CONTRACT, Access
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

WITH_TENANT = sorted(
    f"/{service.full_name}/{method.name}"
    for service in CONTRACT
    for method in service.methods
    if not Access.of(method).has_no_tenant
)
FILE = {"filename": "a.txt", "content_type": "text/plain", "size_bytes": 6}


@pytest.fixture
def service(shared_service: ServiceUnderTest) -> ServiceUnderTest:
    return shared_service


def bear(service: ServiceUnderTest, credential: str) -> None:
    service.metadata = (("authorization", f"Bearer {credential}"),)


async def test_the_client_needs_no_tenant(service: ServiceUnderTest) -> None:
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        attachment = await client.upload(b"hello\n", filename="a.txt")
        assert attachment.tenant_id == TENANT
        assert await client.download(attachment.attachment_id) == b"hello\n"
        got = await client.get_upload_session(attachment.attachment_id)
        assert got.session.tenant_id == TENANT
        resolved = await client.resolve_attachments([attachment.attachment_id])
        assert resolved.results[0].attachment.tenant_id == TENANT
        listed = await client.list_upload_sessions(page_size=1)
        assert [each.tenant_id for each in listed.sessions] == [TENANT]


async def test_the_row_and_the_log_have_the_tenant(
    make_service: MakeService, capfd: pytest.CaptureFixture[str]
) -> None:
    service = await make_service()
    started = await service.start(tenant_id="")
    assert started.session.tenant_id == TENANT
    stored = await service.database.fetchval("SELECT tenant_id FROM upload_sessions")
    assert stored == TENANT
    (line,) = [each for each in capfd.readouterr().err.splitlines() if '"rpc"' in each]
    assert json.loads(line)["tenant"] == TENANT


async def test_a_session_token_needs_no_tenant(service: ServiceUnderTest) -> None:
    started = await service.start()
    bear(service, started.session_token)
    request = upb.CancelUploadSessionRequest(attachment_id=started.session.attachment_id)
    answer = await service.uploads.CancelUploadSession(request, metadata=service.metadata)
    assert answer.session.tenant_id == TENANT


@pytest.mark.parametrize("tenants", [None, (TENANT, "other")], ids=["all", "two"])
@pytest.mark.parametrize("method", WITH_TENANT)
@pytest.mark.bad_input
@pytest.mark.sample(4)
async def test_a_credential_for_more_tenants_must_name_one(
    service: ServiceUnderTest, method: str, tenants: tuple[str, ...] | None
) -> None:
    bear(service, await service.new_key(tenants=tenants))
    call: Any = service.channel.unary_unary(method)
    refused = await failure(call(b"", metadata=service.metadata))
    assert refused.violations[0] == ("tenant_id", "INVALID_TENANT_ID")


@pytest.mark.bad_input
async def test_a_credential_for_no_tenant_is_denied(service: ServiceUnderTest) -> None:
    bear(service, await service.new_key(tenants=()))
    assert (await failure(service.start(tenant_id=""))).reason == "TENANT_DENIED"


@pytest.mark.parametrize("first", ["", TENANT], ids=["without", "with"])
async def test_a_repeated_request_may_name_the_tenant_or_not(
    service: ServiceUnderTest, first: str
) -> None:
    second = "" if first else TENANT
    once: dict[str, Any] = {"request_id": f"once-{first}"}
    started = await service.start(tenant_id=first, **once, **FILE)
    again = await service.start(tenant_id=second, **once, **FILE)
    assert again.session == started.session
    named: dict[str, Any] = {"attachment_id": started.session.attachment_id}
    await service.send(started.target, b"hello\n")
    other = await service.start(**FILE)
    await service.send(other.target, b"hello\n")
    items: Any = [{"attachment_id": other.session.attachment_id}]
    for method, request in (
        (service.uploads.CompleteUploadSession, upb.CompleteUploadSessionRequest(**once, **named)),
        (
            service.uploads.BatchCompleteUploadSessions,
            upb.BatchCompleteUploadSessionsRequest(**once, items=items),
        ),
        (service.attachments.DeleteAttachment, apb.DeleteAttachmentRequest(**once, **named)),
    ):
        call: Any = method
        answers = []
        for request.tenant_id in (first, second):
            answers.append(await call(request, metadata=service.metadata))
        assert answers[0] == answers[1]
    assert await service.events(other.session.attachment_id) == ["pending", "ready"]


async def test_a_page_token_is_valid_with_and_without_the_tenant(
    service: ServiceUnderTest,
) -> None:
    for _ in range(3):
        await service.start()
    for first, second in (("", TENANT), (TENANT, "")):
        page = await service.uploads.ListUploadSessions(
            upb.ListUploadSessionsRequest(tenant_id=first, page_size=1), metadata=service.metadata
        )
        after = upb.ListUploadSessionsRequest(
            tenant_id=second, page_size=1, page_token=page.next_page_token
        )
        next_page = await service.uploads.ListUploadSessions(after, metadata=service.metadata)
        assert next_page.sessions != page.sessions
        audited = await service.admin.AuditAttachments(
            adm.AuditAttachmentsRequest(tenant_id=first, page_size=1), metadata=service.metadata
        )
        rest = adm.AuditAttachmentsRequest(tenant_id=second, page_token=audited.next_page_token)
        last = await service.admin.AuditAttachments(rest, metadata=service.metadata)
        assert last.next_page_token == ""


async def test_calls_with_and_without_the_tenant_share_a_statement(
    service: ServiceUnderTest,
) -> None:
    starts = [service.start(tenant_id=tenant) for tenant in ("", TENANT) * 8]
    sessions = [started.session for started in await asyncio.gather(*starts)]
    assert {session.tenant_id for session in sessions} == {TENANT}
    assert len({session.attachment_id for session in sessions}) == 16


async def test_calls_with_and_without_the_tenant_count_towards_one_limit(
    make_service: MakeService,
) -> None:
    service = await make_service(rate_limit_write="2/day")
    await service.start(tenant_id="")
    await service.start(tenant_id=TENANT)
    assert (await failure(service.start(tenant_id=""))).reason == "RATE_LIMITED"
