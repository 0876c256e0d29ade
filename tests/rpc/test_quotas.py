"""Quotas: never exceeded, released when no upload can arrive any more, and shown exactly."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from attachery.v1 import resources_pb2
from attachery.v1.upload_sessions_pb2 import (
    GetUploadPolicyRequest,
    GetUploadPolicyResponse,
    StartUploadSessionResponse,
    UploadPolicy,
    UploadUsage,
)
from attachery_service.domain.identity import Scope
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

MAX_SIZE = 1000
LIFE = timedelta(hours=1, seconds=1)


async def policy(service: ServiceUnderTest, **fields: Any) -> GetUploadPolicyResponse:
    request = GetUploadPolicyRequest(**{"tenant_id": TENANT, **fields})
    return await service.uploads.GetUploadPolicy(request, metadata=service.metadata)


async def usage(service: ServiceUnderTest, tenant_id: str = TENANT) -> tuple[int, int, int]:
    used = (await policy(service, tenant_id=tenant_id)).usage
    return used.pending_sessions, used.pending_bytes, used.stored_bytes


async def refusal(service: ServiceUnderTest, **fields: Any) -> Failure:
    refused = await failure(service.start(**fields))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.facts["httpStatus"] == "402"
    return refused


async def storm(service: ServiceUnderTest, count: int, **fields: Any) -> list[Any]:
    """Makes concurrent Starts; returns the responses or errors."""
    return await asyncio.gather(
        *(service.start(**fields) for _ in range(count)), return_exceptions=True
    )


def started(answers: list[Any]) -> list[StartUploadSessionResponse]:
    """The successful Starts; all others must have failed because of the quota."""
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    assert {a.code() for a in refused} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    return [a for a in answers if isinstance(a, StartUploadSessionResponse)]


@pytest.fixture
async def small(make_service: MakeService) -> ServiceUnderTest:
    """A service with room for two sessions."""
    return await make_service(max_pending_sessions=2, max_size=MAX_SIZE)


async def test_sessions_of_the_previous_release_are_settled_after_their_url_expired(
    make_service: MakeService,
) -> None:
    service = await make_service(max_pending_sessions=1)
    attachment_id = await service.ready(b"hello\n")
    # As a release before the counters leaves it: READY, without a settlement.
    await service.database.execute(
        """
        WITH unsettled AS (
            UPDATE upload_sessions SET booking = 'pending' WHERE attachment_id = $1
            RETURNING tenant_id, usage_shard, reserved_bytes, size
        )
        UPDATE tenant_usage AS u
        SET pending_sessions = u.pending_sessions + 1,
            pending_bytes = u.pending_bytes + s.reserved_bytes,
            stored_bytes = u.stored_bytes - s.size
        FROM unsettled AS s
        WHERE u.tenant_id = s.tenant_id AND u.shard = s.usage_shard
        """,
        attachment_id,
    )
    assert (await refusal(service, size_bytes=5)).reason == "PENDING_SESSIONS_LIMIT"
    await service.age(attachment_id, LIFE)
    assert await usage(service) == (0, 0, 6)
    await service.start(size_bytes=5)
    assert await usage(service) == (1, 5, 6)


async def test_concurrent_starts_succeed_up_to_the_quota(
    make_service: MakeService,
) -> None:
    service = await make_service(max_pending_sessions=10)
    assert len(started(await storm(service, 64, size_bytes=1))) == 10
    assert await usage(service) == (10, 10, 0)


@pytest.mark.parametrize("size", [None, 700])
@pytest.mark.parametrize("limit", ["max_pending_bytes", "max_stored_bytes"])
async def test_bytes_are_kept_for_every_start_the_most_where_no_size_is_declared(
    make_service: MakeService, limit: str, size: int | None
) -> None:
    service = await make_service(max_size=MAX_SIZE, **{limit: 7500})
    reserved = size or MAX_SIZE
    room = 7500 // reserved
    assert len(started(await storm(service, 64, size_bytes=size))) == room
    assert await usage(service) == (room, room * reserved, 0)


async def test_the_quota_can_be_used_to_the_last_byte(make_service: MakeService) -> None:
    service = await make_service(max_size=MAX_SIZE, max_pending_bytes=2 * MAX_SIZE)
    for size in (1, 1, MAX_SIZE, 3, MAX_SIZE - 5):
        await service.start(size_bytes=size)
    refused = await refusal(service, size_bytes=1)
    assert refused.reason == "STORAGE_QUOTA_EXCEEDED"
    assert await usage(service) == (5, 2 * MAX_SIZE, 0)


async def test_a_refusal_has_the_limit_the_usage_and_the_requested_size(
    make_service: MakeService,
) -> None:
    service = await make_service(max_pending_sessions=3, max_pending_bytes=10, max_stored_bytes=20)
    await service.ready(b"0123456789")
    await service.start(size_bytes=6)
    known = {"tenantId": TENANT, "httpStatus": "402"}
    more_bytes = await refusal(service, size_bytes=5)
    assert more_bytes.reason == "STORAGE_QUOTA_EXCEEDED"
    bytes_facts = {"quota": "max_pending_bytes", "limit": "10", "used": "6", "asked": "5"}
    assert more_bytes.facts == known | bytes_facts
    assert more_bytes.kinds == ["ErrorInfo", "RequestInfo", "QuotaFailure"]
    detail = error_details_pb2.QuotaFailure()
    more_bytes.status.details[2].Unpack(detail)
    (violation,) = detail.violations
    assert violation.subject == f"tenant:{TENANT}"
    assert violation.description == more_bytes.message


async def test_too_many_sessions_have_a_reason_of_their_own(small: ServiceUnderTest) -> None:
    await small.start(size_bytes=1)
    await small.start(size_bytes=1)
    refused = await refusal(small, size_bytes=1)
    assert refused.reason == "PENDING_SESSIONS_LIMIT"
    facts = {"quota": "max_pending_sessions", "limit": "2", "used": "2", "asked": "1"}
    assert refused.facts == {"tenantId": TENANT, "httpStatus": "402"} | facts


async def test_a_limit_of_zero_refuses_everything(make_service: MakeService) -> None:
    service = await make_service(max_stored_bytes=0)
    refused = await refusal(service, size_bytes=1)
    assert (refused.facts["limit"], refused.facts["used"]) == ("0", "0")


async def test_cancelling_releases_nothing_before_the_url_has_expired(
    small: ServiceUnderTest,
) -> None:
    for _ in range(2):
        attachment_id = (await small.start(size_bytes=5)).session.attachment_id
        await small.cancel(attachment_id)
    assert await usage(small) == (2, 10, 0)
    await refusal(small, size_bytes=1)
    await small.age(attachment_id, LIFE)
    assert await usage(small) == (1, 5, 0)
    await small.start(size_bytes=1)
    assert await usage(small) == (2, 6, 0)
    await refusal(small, size_bytes=1)


async def test_failing_releases_nothing_before_the_url_has_expired(small: ServiceUnderTest) -> None:
    begun = await small.start()
    await small.send(begun.target, b"abc")
    attachment_id = begun.session.attachment_id
    failed = await failure(small.complete(attachment_id, size_bytes=4))
    assert failed.reason == "SIZE_MISMATCH"
    assert await usage(small) == (1, MAX_SIZE, 0)
    await small.age(attachment_id, LIFE)
    assert await usage(small) == (0, 0, 0)


async def test_an_expired_session_releases_its_quota(small: ServiceUnderTest) -> None:
    first, second = [(await small.start()).session.attachment_id for _ in range(2)]
    await refusal(small)
    await small.age(first, LIFE)
    await small.age(second, LIFE)
    assert await usage(small) == (0, 0, 0)
    assert len(started(await storm(small, 16))) == 2
    assert await usage(small) == (2, 2 * MAX_SIZE, 0)
    expired = await failure(small.complete(first))
    assert expired.reason == "UPLOAD_EXPIRED"
    assert (await small.get(first)).state == resources_pb2.UPLOAD_SESSION_STATE_EXPIRED


async def test_ready_settles_at_once_by_the_verified_size(small: ServiceUnderTest) -> None:
    begun = await small.start()
    assert await usage(small) == (1, MAX_SIZE, 0)
    await small.send(begun.target, b"hello\n")
    await small.complete(begun.session.attachment_id)
    assert await usage(small) == (0, 0, 6)
    await small.ready(b"x")
    assert len(started(await storm(small, 8))) == 2
    assert await usage(small) == (2, 2 * MAX_SIZE, 7)


async def test_parallel_completes_settle_once(small: ServiceUnderTest) -> None:
    begun = await small.start(size_bytes=1)
    await small.send(begun.target, b"x")
    calls = (small.complete(begun.session.attachment_id, request_id=f"c-{i}") for i in range(20))
    await asyncio.gather(*calls, return_exceptions=True)
    assert await usage(small) == (0, 0, 1)


async def test_stored_bytes_reduce_the_room_for_new_sessions(
    make_service: MakeService,
) -> None:
    service = await make_service(max_stored_bytes=10)
    await service.ready(b"1234")
    await service.start(size_bytes=5)
    refused = await refusal(service, size_bytes=2)
    assert refused.facts["quota"] == "max_stored_bytes"
    assert (refused.facts["used"], refused.facts["asked"]) == ("9", "2")
    await service.start(size_bytes=1)


async def test_a_repeated_start_keeps_room_once(small: ServiceUnderTest) -> None:
    ids = {
        answer.session.attachment_id
        for answer in started(await storm(small, 8, size_bytes=1, request_id="r-1"))
    }
    assert len(ids) == 1
    await small.start(size_bytes=1)
    assert await usage(small) == (2, 2, 0)
    # A repeated call needs no room; the error of another payload does not depend on it.
    assert (await small.start(size_bytes=1, request_id="r-1")).session.attachment_id in ids
    reused = await failure(small.start(size_bytes=2, request_id="r-1"))
    assert reused.reason == "REQUEST_ID_REUSED"


async def test_a_refused_start_can_be_repeated_once_there_is_room(
    small: ServiceUnderTest,
) -> None:
    first = (await small.start(size_bytes=1)).session.attachment_id
    await small.start(size_bytes=1)
    await refusal(small, size_bytes=1, request_id="r-1")
    await small.age(first, LIFE)
    await small.start(size_bytes=1, request_id="r-1")


async def test_a_dry_run_checks_the_quota_and_reserves_nothing(small: ServiceUnderTest) -> None:
    for _ in range(3):
        await small.start(size_bytes=1, validate_only=True)
    assert await usage(small) == (0, 0, 0)
    await small.start(size_bytes=1)
    await small.start(size_bytes=1)
    assert (await refusal(small, size_bytes=1, validate_only=True)).facts["used"] == "2"


async def test_a_deadline_out_of_range_is_reported_under_any_quota(small: ServiceUnderTest) -> None:
    begun = await small.start(size_bytes=1)
    await small.start(size_bytes=1)
    refused = await failure(small.start(expire_time=begun.session.create_time))
    assert refused.reason == "INVALID_EXPIRE_TIME"


async def test_every_tenant_has_its_own_quota(make_service: MakeService, tmp_path: Path) -> None:
    quotas = tmp_path / "quotas.toml"
    quotas.write_text(
        '[big]\nmax_pending_sessions = 3\n["a.b"]\nmax_pending_sessions = "unlimited"\n'
    )
    service = await make_service(max_pending_sessions=1, quotas=quotas)
    service.metadata = (("authorization", f"Bearer {await service.new_key(tenants=None)}"),)
    for tenant_id, room in ((TENANT, 1), ("other", 1), ("big", 3), ("a.b", 8)):
        answers = await storm(service, 8, tenant_id=tenant_id, size_bytes=1)
        assert len(started(answers)) == room, tenant_id
        assert (await usage(service, tenant_id))[0] == room


async def test_a_limit_below_the_usage_refuses_starts_only(
    make_service: MakeService,
) -> None:
    before = await make_service(max_pending_sessions=4)
    begun = [await before.start(size_bytes=1) for _ in range(4)]
    await before.send(begun[0].target, b"x")
    lowered = await make_service(max_pending_sessions=2, max_stored_bytes=3)
    assert (await refusal(lowered, size_bytes=1)).facts["used"] == "4"
    await lowered.complete(begun[0].session.attachment_id)
    assert await usage(lowered) == (3, 3, 1)
    await refusal(lowered, size_bytes=1)
    raised = await make_service(max_pending_sessions=5)
    assert len(started(await storm(raised, 8, size_bytes=1))) == 2
    unlimited = await make_service()
    assert len(started(await storm(unlimited, 8, size_bytes=1))) == 8


async def test_the_policy_shows_limits_quotas_and_usage(
    make_service: MakeService, tmp_path: Path
) -> None:
    purposes = tmp_path / "purposes.toml"
    purposes.write_text('[avatar]\nmax_size = 9\nallowed_content_types = ["image/*"]\n')
    service = await make_service(purposes=purposes, max_pending_bytes=100, max_stored_bytes=200)
    await service.ready(b"hello\n")
    await service.start(content_type="image/png", purpose="avatar")
    shown = await policy(service, purpose="avatar")
    assert shown.policy.purpose == "avatar"
    assert shown.policy.max_size_bytes == 9
    assert list(shown.policy.allowed_content_types) == ["image/*"]
    assert shown.policy.sniffing == UploadPolicy.SNIFFING_REPORT
    assert shown.policy.max_ttl.ToTimedelta() == timedelta(hours=24)
    assert shown.policy.metadata_retention.ToTimedelta() == timedelta(days=60)
    assert shown.policy.terminal_on_mismatch
    assert shown.usage == UploadUsage(
        pending_sessions=1,
        pending_bytes=9,
        stored_bytes=6,
        max_pending_bytes=100,
        max_stored_bytes=200,
        attachments=2,
        purpose_attachments=1,
    )
    assert (await policy(service)).policy.purpose == "default"


async def test_an_unknown_tenant_has_no_usage(service: ServiceUnderTest) -> None:
    assert (await policy(service)).usage == UploadUsage()


async def test_the_policy_of_an_unknown_purpose_is_refused(service: ServiceUnderTest) -> None:
    refused = await failure(policy(service, purpose="avatar"))
    assert refused.violations == [("purpose", "INVALID_PURPOSE")]


async def test_the_policy_needs_the_scope_to_read(service: ServiceUnderTest) -> None:
    key = await service.new_key(scopes=[Scope.UPLOADS_CREATE])
    service.metadata = (("authorization", f"Bearer {key}"),)
    assert (await failure(policy(service))).reason == "SCOPE_MISSING"
