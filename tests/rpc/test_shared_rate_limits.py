"""Rate limits of a fleet, counted in a real Redis that may be slow, stop and restart."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import CapturingLogger

from attachery.v1.upload_sessions_pb2 import GetUploadSessionRequest
from attachery_service.ratelimit import redis as shared
from attachery_service.ratelimit.redis import RateLimitStoreError
from support.failures import failure
from support.proxy import proxy_of
from support.redis_fixtures import RedisUnderTest
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
PASSED, REFUSED = "ATTACHMENT_NOT_FOUND", "RATE_LIMITED"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    captured = CapturingLogger()
    monkeypatch.setattr(shared, "_log", captured)
    return captured


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer timeout: the test machine is busier than a data centre's Redis."""
    monkeypatch.setattr(shared, "_TIMEOUT", 0.5)


async def limited(make_service: MakeService, url: str, **settings: Any) -> ServiceUnderTest:
    return await make_service(rate_limit_read="3/hour", rate_limit_store=SecretStr(url), **settings)


async def reasons(service: ServiceUnderTest, calls: int) -> list[str]:
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    return [
        (await failure(service.uploads.GetUploadSession(request, metadata=service.metadata))).reason
        for _ in range(calls)
    ]


def said(log: CapturingLogger) -> list[str]:
    return [call.args[0] for call in log.calls]


async def unshared(service: ServiceUnderTest) -> float:
    async with service.http.get(f"http://{service.app.metrics_listen}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = "attachery_rate_limit_unshared_calls_total "
    return float(next(line.removeprefix(name) for line in lines if line.startswith(name)))


@pytest.mark.requirement("P10")
async def test_two_services_share_one_limit(
    make_service: MakeService, redis_server: RedisUnderTest, log: CapturingLogger
) -> None:
    one = await limited(make_service, redis_server.url)
    other = await limited(make_service, redis_server.url)
    assert await reasons(one, 2) == [PASSED] * 2
    assert await reasons(other, 2) == [PASSED, REFUSED]
    assert await reasons(one, 1) == [REFUSED]
    assert said(log) == []


@pytest.mark.requirement("P10")
async def test_limits_counted_in_redis_are_reported_like_limits_counted_in_memory(
    make_service: MakeService, redis_server: RedisUnderTest
) -> None:
    service = await limited(make_service, redis_server.url)
    request = GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    answers = [
        await failure(service.uploads.GetUploadSession(request, metadata=service.metadata))
        for _ in range(4)
    ]
    assert [a.trailers["x-ratelimit-remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert {a.trailers["x-ratelimit-limit"] for a in answers} == {"3"}
    for answer in answers:
        reset = int(answer.trailers["x-ratelimit-reset"])
        assert reset == pytest.approx(time.time() + 3600, abs=60)
    assert int(answers[-1].trailers["retry-after"]) == pytest.approx(3600, abs=60)


async def test_without_redis_each_counts_alone_says_so_once_and_shares_again_when_it_is_back(
    make_service: MakeService,
    redis_server: RedisUnderTest,
    log: CapturingLogger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "_RETRY_SECONDS", 0.05)
    one = await limited(make_service, redis_server.url, metrics_listen="127.0.0.1:0")
    other = await limited(make_service, redis_server.url)
    assert await reasons(one, 4) == [PASSED] * 3 + [REFUSED]
    assert await unshared(one) == 0

    redis_server.kill()
    # Refused calls pass again: this process alone has counted none yet. A flood still ends.
    assert await reasons(one, 4) == [PASSED] * 3 + [REFUSED]
    assert said(log) == ["rate limits not shared"]
    assert await unshared(one) == 4
    assert await reasons(other, 1) == [PASSED]
    assert said(log) == ["rate limits not shared"] * 2

    redis_server.start()
    await asyncio.sleep(0.06)
    assert await reasons(one, 2) == [PASSED] * 2
    assert await reasons(other, 2) == [PASSED, REFUSED]
    assert await reasons(one, 1) == [REFUSED]
    assert said(log)[2:] == ["rate limits shared again"] * 2
    assert await unshared(one) == 4


async def test_a_silent_redis_delays_only_one_call(
    make_service: MakeService, redis_server: RedisUnderTest, log: CapturingLogger
) -> None:
    async with proxy_of(redis_server.url) as proxy:
        service = await limited(make_service, proxy.in_front_of(redis_server.url))
        assert await reasons(service, 3) == [PASSED] * 3
        proxy.hold()
        began = time.monotonic()
        assert await reasons(service, 1) == [PASSED]
        assert 0.4 < time.monotonic() - began < 5
        began = time.monotonic()
        assert await reasons(service, 2) == [PASSED] * 2
        assert time.monotonic() - began < 0.4
        assert said(log) == ["rate limits not shared"]


async def test_a_service_starts_without_its_redis(
    make_service: MakeService, redis_server: RedisUnderTest, log: CapturingLogger
) -> None:
    redis_server.kill()
    service = await limited(make_service, redis_server.url)
    assert await reasons(service, 1) == [PASSED]
    (call,) = log.calls
    assert call.kwargs["cause"] == "ConnectionError"


@pytest.mark.parametrize("query", ["?db=first", "?nonsense=1", "?socket_timeout=soon"])
async def test_a_url_with_unknown_options_is_refused_at_start(
    make_service: MakeService, query: str
) -> None:
    with pytest.raises(RateLimitStoreError) as caught:
        await limited(make_service, f"redis://u:secret@127.0.0.1:1/{query}")
    assert str(caught.value).startswith("ATTACHERY_RATE_LIMIT_STORE: ")
    assert "secret" not in str(caught.value)


async def test_the_extra_that_is_missing_is_named_at_start(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(RateLimitStoreError, match=r"attachery\[redis\]"):
        await limited(make_service, "redis://127.0.0.1:1")
