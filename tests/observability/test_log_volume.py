"""The volume of the log while the database is down, and under invalid requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from attachery.v1 import upload_sessions_pb2
from support.failures import failure
from support.process_fixtures import Serve, Serving
from support.proxy import Proxy, proxy_of
from support.service_fixtures import TENANT
from support.store_fixtures import StoreUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
GET = "/attachery.v1.UploadSessionService/GetUploadSession"
CALLS = 200
AT_A_TIME = 20
# A line of a call takes 400 bytes; a traceback of asyncpg 5 KB.
LINE, TRACEBACKS = 600, 60_000


@pytest.fixture
async def database_proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy_of(database_url) as proxy:
        yield proxy


@pytest.fixture
async def store_proxy(object_store: StoreUnderTest) -> AsyncIterator[Proxy]:
    async with proxy_of(object_store.endpoint) as proxy:
        yield proxy


def get(serving: Serving) -> Any:
    request = upload_sessions_pb2.GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    return serving.uploads.GetUploadSession(request, metadata=serving.metadata())


async def flood(serving: Serving, call: Any) -> Counter[str]:
    """The reasons of CALLS refusals."""
    reasons: Counter[str] = Counter()
    for _ in range(CALLS // AT_A_TIME):
        found = await asyncio.gather(*(failure(call(serving)) for _ in range(AT_A_TIME)))
        reasons.update(each.reason for each in found)
    return reasons


def require_little(serving: Serving, text: str, calls: int) -> list[dict[str, Any]]:
    """Returns the lines that belong to no call, of which there must be few."""
    lines = serving.process.log()
    assert len([line for line in lines if line["event"] == "rpc"]) == calls
    others = [line for line in lines if line["event"] != "rpc"]
    assert len(others) < 30
    assert len(text) < calls * LINE + TRACEBACKS
    return others


@pytest.mark.parametrize("outage", ["cut", "silent"])
@pytest.mark.exhaustive
async def test_a_database_that_is_down_costs_a_line_per_call_and_few_tracebacks(
    serve: Serve, database_proxy: Proxy, database_url: str, outage: str
) -> None:
    serving = await serve(
        database_url=database_proxy.in_front_of(database_url),
        database_timeout=0.5,
        health_interval=0.05,
        load_shedding=False,
    )
    if outage == "cut":
        database_proxy.cut()
    else:
        database_proxy.hold()
    assert await flood(serving, get) == {"DATABASE_UNAVAILABLE": CALLS}
    database_proxy.cut()
    assert await serving.process.stopped() == 0
    text = serving.process.errors
    others = require_little(serving, text, CALLS)
    faults = [line for line in others if line["event"] == "fault"]
    assert 1 <= len(faults) < 15
    assert all(line["reason"] == "DATABASE_UNAVAILABLE" for line in faults)
    # Each refusal is either written in full or counted.
    suppressed = [line for line in others if line["event"] == "suppressed"]
    counted = sum(line["count"] for line in suppressed if line["of"] == "fault")
    assert len(faults) + counted == CALLS


@pytest.mark.exhaustive
async def test_an_object_storage_that_is_down_costs_a_line_per_call_and_few_tracebacks(
    serve: Serve, store_proxy: Proxy, object_store: StoreUnderTest
) -> None:
    serving = await serve(
        s3_endpoint=store_proxy.in_front_of(object_store.endpoint),
        s3_public_endpoint=object_store.endpoint,
        s3_timeout=1,
        load_shedding=False,
    )
    ids = [(await serving.start()).session.attachment_id for _ in range(AT_A_TIME)]
    store_proxy.cut()
    found = await asyncio.gather(*(failure(serving.complete(each)) for each in ids))
    assert {each.reason for each in found} == {"STORAGE_UNAVAILABLE"}
    cancel = upload_sessions_pb2.CancelUploadSessionRequest
    for each in ids:  # each leaves an object that cannot be deleted
        await serving.uploads.CancelUploadSession(
            cancel(tenant_id=TENANT, attachment_id=each), metadata=serving.metadata()
        )
    assert await serving.process.stopped() == 0
    others = require_little(serving, serving.process.errors, 3 * AT_A_TIME)
    assert len([line for line in others if line["event"] == "object not deleted"]) == 1


async def test_a_callers_mistake_is_one_line_without_a_traceback(serve: Serve) -> None:
    serving = await serve(load_shedding=False)
    method: Any = serving.channel.unary_unary(GET)

    def malformed(_: Serving) -> Any:
        return method(b"\xff", metadata=serving.metadata())

    def unauthenticated(_: Serving) -> Any:
        return method(b"", metadata=(("authorization", "Bearer x"),))

    def invalid(_: Serving) -> Any:
        return method(b"\x0a\x04acme", metadata=serving.metadata())

    async def too_late() -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await method(b"", metadata=serving.metadata(), timeout=0.001)

    assert await flood(serving, malformed) == {"MALFORMED_REQUEST": CALLS}
    assert await flood(serving, unauthenticated) == {"CREDENTIALS_INVALID": CALLS}
    assert await flood(serving, invalid) == {"INVALID_ATTACHMENT_ID": CALLS}
    for _ in range(AT_A_TIME):
        await too_late()
    assert await serving.process.stopped() == 0
    lines = serving.process.log()
    assert not any("exception" in line for line in lines)
    calls = [line for line in lines if line["event"] == "rpc"]
    assert 3 * CALLS <= len(calls) <= 3 * CALLS + AT_A_TIME
    # Late calls are refused before they are read, and logged as a sum.
    known = {"rpc", "serving", "draining", "calls refused"}
    assert {line["event"] for line in lines} <= known
