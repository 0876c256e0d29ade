"""AuditAttachments: no findings for consistent data, and exact ones otherwise."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import grpc
import pytest

from attachery.v1.admin_pb2 import (
    AuditAttachmentsRequest,
    AuditAttachmentsResponse,
    AuditFinding,
)
from attachery.v1.attachments_pb2 import DeleteAttachmentRequest
from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import audit_of
from attachery_service.domain.audit import AuditCursor
from attachery_service.postgres.database import open_database
from attachery_service.s3.client import open_storage
from attachery_service.usecases.audit import audit_attachments
from attachery_service.usecases.audit.audit import Audit, AuditPart
from support.audit_fixtures import (
    BODY,
    OTHER,
    Plant,
    change,
    changed,
    copied_rows,
    everything,
    held_too_long,
    held_too_short,
    key_of,
    late,
    miscounted,
    missing,
    orphan_after_the_last_disposal,
    orphan_beside_the_sealed_object,
    orphan_of_a_deleted_attachment,
    orphan_of_another_form,
    orphan_without_a_session,
    overdue,
    put,
)
from support.failures import failure
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import Sweeper

AFTER_THE_COUNTERS = AuditCursor(UUID(int=1))


def etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


async def audit(service: ServiceUnderTest, **fields: object) -> AuditAttachmentsResponse:
    request = AuditAttachmentsRequest(**{"tenant_id": TENANT, **fields})  # type: ignore[arg-type]
    return await service.admin.AuditAttachments(request, metadata=service.metadata)


async def whole_audit(
    service: ServiceUnderTest, page_size: int = 0
) -> Sequence[AuditAttachmentsResponse]:
    parts = [await audit(service, page_size=page_size)]
    while token := parts[-1].next_page_token:
        parts.append(await audit(service, page_size=page_size, page_token=token))
    return parts


async def found(service: ServiceUnderTest, page_size: int = 0) -> list[AuditFinding]:
    return [f for part in await whole_audit(service, page_size) for f in part.findings]


async def test_a_consistent_system_has_no_findings_with_any_page_size(
    service: ServiceUnderTest,
) -> None:
    sessions, objects = await everything(service)
    for size in (1, 2, 3, 7, sessions + objects, 10_000, 10**9):
        parts = await whole_audit(service, size)
        assert [finding for part in parts for finding in part.findings] == []
        assert sum(part.sessions_seen for part in parts) == sessions
        assert sum(part.objects_seen for part in parts) == objects
        assert all(part.sessions_seen + part.objects_seen <= size for part in parts)
        assert len(parts) == -(-(sessions + objects) // size)


async def test_a_tenant_without_anything_is_in_order(service: ServiceUnderTest) -> None:
    assert await audit(service) == AuditAttachmentsResponse()


async def test_swept_sessions_are_consistent(service: ServiceUnderTest, sweeper: Sweeper) -> None:
    await everything(service)
    await sweeper()
    assert await found(service) == []


async def test_a_copy_that_no_row_came_to_name_is_no_finding_while_the_sweep_will_see_to_it(
    make_service: MakeService,
) -> None:
    service = await make_service(seal="copy")
    attachment_id = await service.ready(BODY)
    await put(service, key_of(service, TENANT, attachment_id, "lost"))
    # Long after any call that could be creating it.
    await change(service, attachment_id, "update_time = now() - interval '2 hours'")
    assert await found(service) == []
    await change(
        service, attachment_id, "disposed_time = upload_url_expire_time + interval '2 hours'"
    )
    assert [finding.key.rpartition("/")[2] for finding in await found(service)] == ["lost"]


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        ("OBJECT_MISSING", missing),
        ("OBJECT_CHANGED", changed),
        ("OBJECT_ORPHANED", orphan_without_a_session),
        ("OBJECT_ORPHANED", orphan_of_another_form),
        ("OBJECT_ORPHANED", orphan_beside_the_sealed_object),
        ("OBJECT_ORPHANED", orphan_after_the_last_disposal),
        ("OBJECT_ORPHANED", orphan_of_a_deleted_attachment),
        ("SESSION_OVERDUE", overdue),
        ("SESSION_OVERDUE", late),
        ("USAGE_DIFFERS", miscounted),
        ("HOLD_DIFFERS", held_too_short),
        ("HOLD_DIFFERS", held_too_long),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_each_difference_is_found_once(
    service: ServiceUnderTest, kind: str, plant: Plant
) -> None:
    for _ in range(2):
        await service.ready(BODY)
    where = await plant(service)
    await service.ready(BODY)
    for page_size in (0, 1):
        (finding,) = await found(service, page_size)
        assert AuditFinding.Kind.Name(finding.kind) == f"KIND_{kind}"
        assert where in (finding.key, finding.attachment_id)


async def test_a_finding_has_the_expected_and_the_actual_value(
    service: ServiceUnderTest,
) -> None:
    gone, other = await missing(service), await changed(service)
    stray, counted = await orphan_without_a_session(service), await miscounted(service)
    kept = await held_too_long(service)
    by_place = {f.key or f.attachment_id: f for f in await found(service)}
    size = len(BODY)
    assert by_place[gone].expected == f"etag {etag(BODY)}, {size} bytes"
    assert by_place[gone].actual == ""
    assert by_place[gone].key.split("/")[-2] == by_place[gone].attachment_id
    assert by_place[other].expected == f"etag {etag(BODY)}, {size} bytes"
    assert by_place[other].actual == f"etag {etag(OTHER)}, {size} bytes"
    assert (by_place[stray].expected, by_place[stray].actual) == (
        "",
        f"etag {etag(BODY)}, {size} bytes",
    )
    assert by_place[stray].HasField("since_time")
    used = "0 pending sessions, 0 pending bytes, {} stored bytes, 4 attachments (default 4)"
    assert by_place[counted].expected == used.format(4 * size)
    assert by_place[counted].actual == used.format(4 * size + 5)
    assert by_place[kept].expected < by_place[kept].actual


@asynccontextmanager
async def audit_by_way_of(database: Proxy, service: ServiceUnderTest) -> AsyncIterator[Audit]:
    """A database behind a proxy with prepared statements: the next response is a page of rows."""
    settings = service.settings
    options = database_options(settings)
    url = database.in_front_of(options.url)
    async with (
        open_database(replace(options, url=url, pool_size=1)) as opened,
        open_storage(storage_options(settings)) as storage,
    ):
        made = audit_of(settings, opened, storage)
        await parts_of(made)
        yield made


async def parts_of(made: Audit) -> list[AuditPart]:
    return [part async for part in made(TENANT, AFTER_THE_COUNTERS)]


async def test_a_session_completed_during_the_audit_is_no_finding(
    service: ServiceUnderTest, database_url: str
) -> None:
    await service.ready(BODY)
    async with proxy_of(database_url) as proxy, audit_by_way_of(proxy, service) as made:
        proxy.hold()
        running = asyncio.ensure_future(parts_of(made))
        await asyncio.wait_for(proxy.held.wait(), 30)  # the rows are read
        await service.ready(BODY)
        proxy.release()
        (part,) = await running
    assert (part.sessions, part.objects, part.findings) == (1, 2, [])


async def test_an_attachment_deleted_during_the_audit_is_no_finding(
    service: ServiceUnderTest, database_url: str
) -> None:
    attachment_id = await service.ready(BODY)
    async with proxy_of(database_url) as proxy, audit_by_way_of(proxy, service) as made:
        proxy.hold()
        running = asyncio.ensure_future(parts_of(made))
        await asyncio.wait_for(proxy.held.wait(), 30)
        request = DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
        await service.attachments.DeleteAttachment(request, metadata=service.metadata)
        await service.app.background.drain(5)
        assert await service.keys_in_store() == set()
        proxy.release()
        (part,) = await running
    assert (part.sessions, part.objects, part.findings) == (1, 0, [])


@pytest.mark.exhaustive
async def test_a_part_ends_where_time_or_the_answer_runs_short(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.start(size_bytes=1)
    await copied_rows(service, 2499)
    times = iter((30.0, 29.0, 14.9))
    with monkeypatch.context() as patch:
        patch.setattr(audit_attachments, "time_left", lambda _: next(times))
        part = await audit(service, page_size=10_000)
    assert part.sessions_seen == 2000
    assert part.next_page_token
    rest = await audit(service, page_size=10_000, page_token=part.next_page_token)
    assert (rest.sessions_seen, rest.next_page_token) == (500, "")
    await service.database.execute("UPDATE upload_sessions SET due_time = now() - interval '1 day'")
    parts = await whole_audit(service, 10_000)
    assert [part.sessions_seen for part in parts] == [1000, 1000, 500]


@pytest.mark.bad_input
async def test_a_bad_request_is_refused_with_its_reason(service: ServiceUnderTest) -> None:
    await everything(service)
    token = (await audit(service, page_size=1)).next_page_token
    listing = json.dumps({"audit": TENANT}).encode()
    forged = b"no-id path"
    check = hashlib.sha256(forged + b"\0" + listing).digest()[:12]
    key = await service.new_key(tenants=None)
    service.metadata = (("authorization", f"Bearer {key}"),)
    for field, reason, fields in (
        ("tenant_id", "INVALID_TENANT_ID", {"tenant_id": ".acme"}),
        ("page_size", "INVALID_PAGE_SIZE", {"page_size": -1}),
        ("page_token", "INVALID_PAGE_TOKEN", {"page_token": "x"}),
        ("page_token", "INVALID_PAGE_TOKEN", {"page_token": token[:-4] + "AAAA"}),
        ("page_token", "INVALID_PAGE_TOKEN", {"page_token": token, "tenant_id": "other"}),
        (
            "page_token",
            "INVALID_PAGE_TOKEN",
            {"page_token": base64.urlsafe_b64encode(check + forged).decode().rstrip("=")},
        ),
    ):
        refused = await failure(audit(service, **fields))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.violations == [(field, reason)]


async def test_storage_that_cannot_be_listed_is_no_finding(service: ServiceUnderTest) -> None:
    await service.ready(BODY)
    keys = await service.keys_in_store()
    for key in keys:
        await service.s3.delete_object(Bucket=service.bucket, Key=key)
    await service.s3.delete_bucket(Bucket=service.bucket)
    assert (await failure(audit(service))).reason == "STORAGE_MISCONFIGURED"
