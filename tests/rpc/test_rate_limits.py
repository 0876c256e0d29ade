"""Rate limits: announced, uniform refusals, and no caller affected by another's flood."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from prometheus_client import CollectorRegistry

from attachery.v1 import attachments_pb2 as apb
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_client import AttacheryClient
from attachery_client.errors import RateLimited, ResourceExhausted
from attachery_service.domain.identity import ALL_SCOPES, Principal, Scope
from attachery_service.domain.rates import Category, RateLimit
from attachery_service.ratelimit import memory
from attachery_service.ratelimit.limiter import open_rate_limiter
from attachery_service.rpc import trailers
from support.access_rules import RULES
from support.failures import Failure, failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
MINUTE = 60
HEADERS = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


@dataclass
class Clock:
    """The clock of the counters in memory, at the beginning of a day."""

    now: float = 20_000 * 86_400.0

    def move(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (memory, trailers):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
async def service(make_service: MakeService, clock: Clock) -> ServiceUnderTest:
    return await make_service(rate_limit_read="4/minute", rate_limit_write="2/minute")


def read(service: ServiceUnderTest, tenant: str = TENANT, attachment_id: str = UNKNOWN) -> Any:
    request = upb.GetUploadSessionRequest(tenant_id=tenant, attachment_id=attachment_id)
    return service.uploads.GetUploadSession(request, metadata=service.metadata)


def write(service: ServiceUnderTest, tenant: str = TENANT, filename: str = "a.txt") -> Any:
    request = upb.StartUploadSessionRequest(
        tenant_id=tenant, filename=filename, content_type="text/plain"
    )
    return service.uploads.StartUploadSession(request, metadata=service.metadata)


def resolve(service: ServiceUnderTest) -> Any:
    request = apb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=[UNKNOWN])
    return service.attachments.ResolveAttachments(request, metadata=service.metadata)


async def trailers_after(call: Any) -> dict[str, str]:
    await call
    return {str(key): str(value) for key, value in await call.trailing_metadata()}


async def reason(call: Awaitable[Any]) -> str:
    return (await failure(call)).reason


def told_wait(refused: Failure) -> timedelta:
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in refused.status.details)
    wait: timedelta = retry.retry_delay.ToTimedelta()
    return wait


@pytest.mark.requirement("P10")
async def test_every_response_reports_remaining_calls_and_reset_time(
    service: ServiceUnderTest, clock: Clock
) -> None:
    first = await trailers_after(write(service))
    assert first["x-ratelimit-limit"] == "2"
    assert first["x-ratelimit-remaining"] == "1"
    # A caller that returns at this second has more calls than remain now.
    assert int(first["x-ratelimit-reset"]) == clock.now + MINUTE + 1
    assert first["x-request-id"]
    second = await failure(write(service, filename="a/b"))
    assert second.reason == "INVALID_FILENAME"
    assert second.trailers["x-ratelimit-remaining"] == "0"
    missing = await failure(read(service))
    assert missing.reason == "ATTACHMENT_NOT_FOUND"
    assert missing.trailers["x-ratelimit-remaining"] == "3"


@pytest.mark.requirement("P10", "C6")
async def test_call_above_the_limit_is_refused_with_the_time_to_wait(
    service: ServiceUnderTest, clock: Clock
) -> None:
    clock.move(20.5)
    for _ in range(2):
        await write(service)
    refused = await failure(write(service))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "RATE_LIMITED"
    assert refused.facts == {"limit": "2/minute", "category": "write", "httpStatus": "429"}
    assert refused.kinds == ["ErrorInfo", "RequestInfo", "RetryInfo"]
    assert told_wait(refused) == pytest.approx(
        timedelta(seconds=39.5), abs=timedelta(milliseconds=5)
    )
    assert refused.trailers["retry-after"] == "40"
    assert refused.trailers["x-ratelimit-limit"] == "2"
    assert refused.trailers["x-ratelimit-remaining"] == "0"
    assert refused.trailers["x-ratelimit-reset"] == str(int(clock.now - 20.5) + MINUTE + 1)


@pytest.mark.requirement("C6")
async def test_reported_wait_is_exact(service: ServiceUnderTest, clock: Clock) -> None:
    for _ in range(4):
        assert await reason(read(service)) == "ATTACHMENT_NOT_FOUND"
    waits = []
    for _ in range(6):
        refused = await failure(read(service))
        assert refused.reason == "RATE_LIMITED"
        waits.append(told_wait(refused).total_seconds())
        clock.move(waits[-1] - 0.01)
        assert await reason(read(service)) == "RATE_LIMITED"
        clock.move(0.01)
        assert await reason(read(service)) == "ATTACHMENT_NOT_FOUND"
    # First the period must end; then the weight of its calls falls.
    assert [round(wait) for wait in waits] == [60, 15, 15, 15, 15, 15]


@pytest.mark.requirement("C6")
async def test_calls_per_hour_equal_the_limit(service: ServiceUnderTest, clock: Clock) -> None:
    passed = 0
    for _ in range(60 * 4):
        passed += await reason(read(service)) == "ATTACHMENT_NOT_FOUND"
        clock.move(15 / 4)
    assert passed == pytest.approx(15 * 4, abs=4)


async def test_each_category_is_counted_apart_and_one_without_a_limit_not_at_all(
    service: ServiceUnderTest,
) -> None:
    for _ in range(2):
        await write(service)
    assert await reason(write(service)) == "RATE_LIMITED"
    assert await reason(read(service)) == "ATTACHMENT_NOT_FOUND"
    for _ in range(5):
        assert not HEADERS & (await trailers_after(resolve(service))).keys()


async def test_without_the_settings_there_are_no_limits_and_no_headers(
    make_service: MakeService,
) -> None:
    service = await make_service()
    for call in (write(service), resolve(service)):
        assert not HEADERS & (await trailers_after(call)).keys()
    assert not HEADERS & (await failure(read(service))).trailers.keys()


@pytest.mark.requirement("P10")
async def test_flood_by_one_tenant_is_refused_while_calls_of_another_pass(
    make_service: MakeService, clock: Clock
) -> None:
    service = await make_service(rate_limit_read="20/minute")
    service.metadata = (("authorization", f"Bearer {await service.new_key(tenants=None)}"),)
    flood = asyncio.gather(*(reason(read(service, "noisy")) for _ in range(100)))
    quiet = [await reason(read(service, "quiet")) for _ in range(20)]
    assert quiet == ["ATTACHMENT_NOT_FOUND"] * 20
    noisy = await flood
    assert noisy.count("ATTACHMENT_NOT_FOUND") == 20
    assert noisy.count("RATE_LIMITED") == 80


async def test_callers_of_one_tenant_are_counted_apart(service: ServiceUnderTest) -> None:
    for _ in range(2):
        await write(service)
    assert await reason(write(service)) == "RATE_LIMITED"
    await service.database.execute("UPDATE api_keys SET name = 'another'")
    await write(service)


async def test_unauthorized_calls_are_refused_and_not_counted(
    service: ServiceUnderTest,
) -> None:
    mine = service.metadata
    scoped = await service.new_key(scopes=ALL_SCOPES - {Scope.UPLOADS_CREATE})
    for metadata, tenant, expected in (
        ((), TENANT, "CREDENTIALS_MISSING"),
        (mine, "other", "TENANT_DENIED"),
        ((("authorization", f"Bearer {scoped}"),), TENANT, "SCOPE_MISSING"),
    ):
        service.metadata = metadata
        for _ in range(3):
            refused = await failure(write(service, tenant))
            assert refused.reason == expected
            assert not HEADERS & refused.trailers.keys()
    service.metadata = mine
    for _ in range(2):
        await write(service)


@pytest.mark.requirement("C6")
async def test_client_raises_rate_limit_at_once_with_the_time_to_wait(
    make_service: MakeService, clock: Clock
) -> None:
    service = await make_service(rate_limit_read="1/day", metrics_listen="127.0.0.1:0")
    await reason(read(service))
    async with AttacheryClient(service.target, api_key=service.api_key) as client:
        with pytest.raises(RateLimited) as caught:
            await client.get_upload_session(UNKNOWN, tenant_id=TENANT)
    assert isinstance(caught.value, ResourceExhausted)
    assert caught.value.facts == {"limit": "1/day", "category": "read"}
    assert caught.value.http_status == 429
    assert caught.value.retry_after is not None
    assert timedelta(hours=24) <= caught.value.retry_after < timedelta(hours=24, seconds=1)
    async with service.http.get(f"http://{service.app.metrics_listen}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    (line,) = (x for x in lines if x.startswith("attachery_rpcs_total") and "RATE_LIMITED" in x)
    assert line.endswith(" 1.0")  # it came once: nothing was repeated below


async def test_memory_stays_bounded_for_any_number_of_tenants(clock: Clock) -> None:
    counts = memory.MemoryCounts(capacity=10)
    limit = RateLimit(1, "minute")
    for number in range(11):
        await counts.take(f"read/{number}", limit)
    granted = [(await counts.take(f"read/{number}", limit)).granted for number in (10, 1, 0)]
    assert granted == [False, False, True]  # the least recently used counter was dropped


async def test_calls_with_a_session_token_do_not_count_for_its_issuer(
    clock: Clock,
) -> None:
    owner = Principal(name="mailer", tenants=None, scopes=ALL_SCOPES)
    holders = [replace(owner, session=uuid.uuid4()) for _ in range(2)]
    limits = {Category.READ: RateLimit(1, "minute")}
    async with open_rate_limiter(limits, None, CollectorRegistry()) as limiter:
        for caller in (*holders, owner):
            for granted in (True, False):
                found = await limiter.hit(caller, TENANT, Category.READ)
                assert found is not None
                assert found.granted is granted


async def test_no_two_callers_share_a_counter_by_odd_names(clock: Clock) -> None:
    limits = {Category.READ: RateLimit(1, "minute")}
    async with open_rate_limiter(limits, None, CollectorRegistry()) as limiter:
        for name, tenant in [
            ("a", "b/c"),
            ("a/b", "c"),
            ("a\0b", "c"),
            ("a", "b\0c"),
            ("\ud800", ""),
        ]:
            caller = Principal(name=name, tenants=None, scopes=ALL_SCOPES)
            found = await limiter.hit(caller, tenant, Category.READ)
            assert found is not None
            assert found.granted


async def test_the_memory_of_a_counter_does_not_depend_on_the_tenant_id(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    take = memory.MemoryCounts.take

    async def noted(self: memory.MemoryCounts, key: str, limit: RateLimit) -> Any:
        keys.append(key)
        return await take(self, key, limit)

    monkeypatch.setattr(memory.MemoryCounts, "take", noted)
    service.metadata = (("authorization", f"Bearer {await service.new_key(tenants=None)}"),)
    for tenant in ("a", "a" * 100_000):
        await failure(read(service, tenant))
    short, long = keys
    assert short != long
    assert len(short) == len(long)


def test_every_category_has_a_method() -> None:
    assert {rule.category for rule in RULES.values()} == set(Category)


@pytest.mark.parametrize("text", ["1/second", "100/minute", "7/hour", "999999999/day"])
def test_a_limit_is_written_as_it_is_read(text: str) -> None:
    assert str(RateLimit.parse(text)) == text
