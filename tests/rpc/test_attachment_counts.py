"""The number of attachments: limited per tenant and per purpose, never exceeded, and shown."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from attachery.v1 import upload_sessions_pb2 as pb
from attachery.v1.attachments_pb2 import DeleteAttachmentRequest
from attachery_service.app.options import database_options
from attachery_service.app.parts import audit_store_of
from attachery_service.postgres.database import open_database
from attachery_service.postgres.migrate import known_migrations
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest
from support.sweep_fixtures import opened_sweeper

HOUR = timedelta(hours=1, seconds=1)
PURPOSES = "[default]\n[avatar]\nmax_attachments = 5\n[invoice]\nmax_attachments = 7\n"


async def shown(
    service: ServiceUnderTest, purpose: str = "", tenant_id: str = TENANT
) -> pb.GetUploadPolicyResponse:
    request = pb.GetUploadPolicyRequest(tenant_id=tenant_id, purpose=purpose)
    return await service.uploads.GetUploadPolicy(request, metadata=service.metadata)


async def count(service: ServiceUnderTest, purpose: str = "") -> tuple[int, int]:
    """The attachments of the tenant, and those of the purpose."""
    usage = (await shown(service, purpose)).usage
    return usage.attachments, usage.purpose_attachments


async def storm(service: ServiceUnderTest, times: int, *purposes: str) -> list[int]:
    """Makes concurrent Starts of each purpose; returns how many of each succeeded."""
    starts = (service.start(size_bytes=1, purpose=p) for _ in range(times) for p in purposes)
    done = await asyncio.gather(*starts, return_exceptions=True)
    refused = [a for a in done if isinstance(a, grpc.aio.AioRpcError)]
    assert {a.code() for a in refused} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    successes = [isinstance(answer, pb.StartUploadSessionResponse) for answer in done]
    return [sum(successes[place :: len(purposes)]) for place in range(len(purposes))]


async def refusal(service: ServiceUnderTest, **fields: Any) -> Failure:
    refused = await failure(service.start(**{"size_bytes": 1, **fields}))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "ATTACHMENTS_LIMIT"
    return refused


async def delete(service: ServiceUnderTest, attachment_id: str) -> None:
    request = DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)


@pytest.fixture
def purposes(tmp_path: Path) -> Path:
    path = tmp_path / "purposes.toml"
    path.write_text(PURPOSES)
    return path


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.sample(1)
async def test_concurrent_starts_of_all_purposes_succeed_up_to_the_limits(
    make_service: MakeService, purposes: Path, coalesce: bool
) -> None:
    service = await make_service(purposes=purposes, max_attachments=20, database_coalesce=coalesce)
    assert await storm(service, 64, "avatar") == [5]
    assert sum(await storm(service, 21, "avatar", "invoice", "default")) == 15
    assert (await count(service, "avatar")) == (20, 5)
    assert (await count(service, "invoice"))[1] <= 7
    assert (await refusal(service)).facts["used"] == "20"


async def test_each_purpose_has_its_own_limit(make_service: MakeService, purposes: Path) -> None:
    service = await make_service(purposes=purposes)
    assert await storm(service, 32, "avatar", "invoice", "default") == [5, 7, 32]
    assert await count(service, "avatar") == (44, 5)
    assert await count(service, "default") == (44, 32)


async def test_each_tenant_has_its_own_limits(
    make_service: MakeService, purposes: Path, tmp_path: Path
) -> None:
    quotas = tmp_path / "quotas.toml"
    quotas.write_text('[big]\nmax_attachments = 3\n["a.b"]\nmax_attachments = "unlimited"\n')
    service = await make_service(purposes=purposes, max_attachments=1, quotas=quotas)
    service.metadata = (("authorization", f"Bearer {await service.new_key(tenants=None)}"),)
    for tenant_id, room in ((TENANT, 1), ("big", 3), ("a.b", 5)):
        starts = (
            service.start(tenant_id=tenant_id, size_bytes=1, purpose="avatar") for _ in range(8)
        )
        answers = await asyncio.gather(*starts, return_exceptions=True)
        assert sum(isinstance(a, pb.StartUploadSessionResponse) for a in answers) == room
        assert (await shown(service, "avatar", tenant_id)).usage.attachments == room


async def test_a_refusal_has_the_limit_the_usage_and_the_purpose(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes, max_attachments=6)
    await storm(service, 5, "avatar")
    common = {"tenantId": TENANT, "quota": "max_attachments", "asked": "1"}
    of_purpose = (await refusal(service, purpose="avatar")).facts
    assert of_purpose.items() >= (common | {"purpose": "avatar", "limit": "5", "used": "5"}).items()
    await service.start(size_bytes=1)
    of_tenant = (await refusal(service, purpose="avatar")).facts
    assert of_tenant.items() >= (common | {"limit": "6", "used": "6"}).items()
    assert "purpose" not in of_tenant


async def test_an_attachment_counts_from_start_until_its_bytes_are_deleted(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes, max_attachments=2)
    begun = await service.start(size_bytes=6, purpose="avatar")
    await service.send(begun.target, b"hello\n")
    assert await count(service, "avatar") == (1, 1)
    await service.complete(begun.session.attachment_id)
    assert await count(service, "avatar") == (1, 1)
    await service.start(size_bytes=1)
    await refusal(service)
    await delete(service, begun.session.attachment_id)
    assert await count(service, "avatar") == (1, 0)
    await service.start(size_bytes=1)


async def test_a_session_without_an_attachment_counts_until_its_target_has_ended(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes, max_attachments=3)
    begun = [await service.start(size_bytes=1, purpose="avatar") for _ in range(3)]
    ids = [each.session.attachment_id for each in begun]
    await service.cancel(ids[0])
    await service.send(begun[1].target, b"x")
    assert (await failure(service.complete(ids[1], size_bytes=2))).reason == "SIZE_MISMATCH"
    assert await count(service, "avatar") == (3, 3)
    await refusal(service)
    for left, attachment_id in zip((2, 1, 0), ids, strict=True):
        await service.age(attachment_id, HOUR)
        assert await count(service, "avatar") == (left, left)
    await service.start(size_bytes=1)  # releases what is due
    assert await storm(service, 8, "avatar") == [2]


async def test_the_sweep_uncounts_expired_sessions_and_purged_attachments(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes)
    expired = (await service.start(size_bytes=1, purpose="avatar")).session.attachment_id
    purged = await service.ready(b"x", purpose="avatar")
    for attachment_id in (expired, purged):
        await service.age(attachment_id, 2 * HOUR)
    async with opened_sweeper(service.settings) as sweeper:
        await sweeper()
    rows = "SELECT sum(attachments) FROM {}"
    for table in ("tenant_usage", "purpose_usage"):
        assert await service.database.fetchval(rows.format(table)) == 0
    assert await count(service, "avatar") == (0, 0)


async def test_a_batch_keeps_the_count(make_service: MakeService, purposes: Path) -> None:
    service = await make_service(purposes=purposes)
    begun = [await service.start(size_bytes=1, purpose="avatar") for _ in range(2)]
    for each in begun:
        await service.send(each.target, b"x")
    items = [
        pb.BatchCompleteUploadSessionsRequest.Item(attachment_id=each.session.attachment_id)
        for each in begun
    ]
    request = pb.BatchCompleteUploadSessionsRequest(tenant_id=TENANT, items=items)
    await service.uploads.BatchCompleteUploadSessions(request, metadata=service.metadata)
    assert await count(service, "avatar") == (2, 2)


@pytest.mark.parametrize("of", ["tenant", "purpose"])
async def test_a_limit_can_be_lowered_removed_and_set_again(
    make_service: MakeService, tmp_path: Path, of: str
) -> None:
    async def limited(limit: int | None) -> ServiceUnderTest:
        if of == "tenant":
            return await make_service(max_attachments=limit)
        path = tmp_path / f"{limit}.toml"
        path.write_text("[default]\n" + (f"max_attachments = {limit}\n" if limit else ""))
        return await make_service(purposes=path)

    first = await limited(4)
    assert await storm(first, 16, "default") == [4]
    lowered = await limited(2)
    assert (await refusal(lowered)).facts["used"] == "4"
    unlimited = await limited(None)
    assert await storm(unlimited, 8, "default") == [8]
    assert (await refusal(first)).facts["used"] == "12"
    raised = await limited(15)
    assert await storm(raised, 16, "default") == [3]
    # Services with different limits: each keeps its own.
    done = await asyncio.gather(*(storm(s, 8, "default") for s in (unlimited, raised)))
    assert done[0] == [8]
    assert (await count(raised))[0] == 23 + done[1][0]


@pytest.mark.parametrize("of", ["tenant", "purpose"])
async def test_a_limit_of_zero_refuses_everything(
    make_service: MakeService, tmp_path: Path, of: str
) -> None:
    path = tmp_path / "purposes.toml"
    path.write_text("[default]\nmax_attachments = 0\n")
    service = await make_service(
        **({"max_attachments": 0} if of == "tenant" else {"purposes": path})
    )
    refused = await refusal(service)
    assert (refused.facts["limit"], refused.facts["used"]) == ("0", "0")


async def test_dry_runs_and_repeated_starts_count_nothing(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes)
    for _ in range(6):
        await service.start(size_bytes=1, purpose="avatar", validate_only=True)
    assert await count(service, "avatar") == (0, 0)
    for _ in range(2):
        starts = (service.start(size_bytes=1, purpose="avatar", request_id="r-1") for _ in range(8))
        assert len({(await each).session.attachment_id for each in starts}) == 1
    assert await count(service, "avatar") == (1, 1)
    assert await storm(service, 16, "avatar") == [4]
    await refusal(service, purpose="avatar", validate_only=True)
    await refusal(service, purpose="avatar", request_id="r-2")
    await service.start(size_bytes=1, purpose="avatar", request_id="r-1")


async def test_the_policy_shows_the_limits(make_service: MakeService, purposes: Path) -> None:
    service = await make_service(purposes=purposes, max_attachments=9)
    await service.start(size_bytes=1, purpose="avatar")
    await service.start(size_bytes=1)
    found = await shown(service, "avatar")
    assert found.policy.max_attachments == 5
    assert (found.usage.max_attachments, found.usage.attachments) == (9, 2)
    assert found.usage.purpose_attachments == 1
    assert not (await shown(service)).policy.HasField("max_attachments")


async def test_an_audit_repairs_counts_that_the_previous_release_has_not_kept(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes, max_attachments=6)
    ids = [await service.ready(b"x", purpose="avatar") for _ in range(3)]
    # As if that release had started all of them.
    await service.database.execute("UPDATE tenant_usage SET attachments = 0")
    await service.database.execute("DELETE FROM purpose_usage")
    await delete(service, ids[0])
    assert await count(service, "avatar") == (0, 0)
    async with open_database(database_options(service.settings)) as database:
        store = audit_store_of(service.settings, database)
        counted, booked = await store.usage(TENANT)
        assert (counted.attachments, booked.attachments) == (0, 2)
        assert booked.by_purpose == {"avatar": 2}
        await store.recount_usage(TENANT)
        counted, booked = await store.usage(TENANT)
    assert counted == booked
    assert await count(service, "avatar") == (2, 2)
    assert await storm(service, 8, "avatar") == [3]
    assert await storm(service, 8, "invoice") == [1]


async def test_the_migration_counts_existing_attachments(
    make_service: MakeService, purposes: Path
) -> None:
    service = await make_service(purposes=purposes)
    await service.ready(b"x", purpose="avatar")
    await service.start(size_bytes=1)
    deleted = await service.ready(b"x", purpose="avatar")
    await delete(service, deleted)
    await service.database.execute("UPDATE tenant_usage SET attachments = 0")
    await service.database.execute("DELETE FROM purpose_usage")
    (migration,) = [m for m in known_migrations() if m.name.endswith("_count_attachments")]
    await service.database.execute(migration.statements)
    assert await count(service, "avatar") == (2, 1)
    assert await storm(service, 8, "avatar") == [4]
