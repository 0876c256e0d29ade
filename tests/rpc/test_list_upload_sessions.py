"""ListUploadSessions: every session once, in order, despite concurrent changes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import ListUploadSessionsRequest, ListUploadSessionsResponse
from attachery_service.domain.sessions import SessionFilter
from attachery_service.postgres.queries import query
from support.failures import failure
from support.service_fixtures import TENANT, ServiceUnderTest

PENDING, READY = pb.UPLOAD_SESSION_STATE_PENDING, pb.UPLOAD_SESSION_STATE_READY
EXPIRED, CANCELLED = pb.UPLOAD_SESSION_STATE_EXPIRED, pb.UPLOAD_SESSION_STATE_CANCELLED

SCANS = ("Seq Scan", "Index Scan", "Bitmap Heap Scan")
COPIES = """
    INSERT INTO upload_sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
        'attachment_id', gen_random_uuid(),
        'create_time', s.create_time - n * interval '1 ms'))).*
    FROM upload_sessions AS s, generate_series(1, $1::int) AS n
"""


async def page(service: ServiceUnderTest, **fields: Any) -> ListUploadSessionsResponse:
    request = ListUploadSessionsRequest(**{"tenant_id": TENANT, **fields})
    return await service.uploads.ListUploadSessions(request, metadata=service.metadata)


async def ids(service: ServiceUnderTest, **fields: Any) -> list[str]:
    return [s.attachment_id for s in (await page(service, **fields)).sessions]


async def started(service: ServiceUnderTest, count: int) -> list[str]:
    """Returns ids, the newest first."""
    made = [(await service.start(size_bytes=1)).session.attachment_id for _ in range(count)]
    return made[::-1]


async def walked(service: ServiceUnderTest, sizes: Sequence[int]) -> list[str]:
    """Returns all ids, by pages of changing sizes."""
    found: list[str] = []
    token, turn = "", 0
    while True:
        got = await page(service, page_size=sizes[turn % len(sizes)], page_token=token)
        assert len(got.sessions) <= sizes[turn % len(sizes)]
        found += [s.attachment_id for s in got.sessions]
        token, turn = got.next_page_token, turn + 1
        if not token:
            return found


async def test_the_newest_comes_first_and_every_one_once(service: ServiceUnderTest) -> None:
    made = await started(service, 11)
    assert await ids(service) == made
    for sizes in ([1], [2, 3], [11], [10, 1], [100]):
        assert await walked(service, sizes) == made


async def test_sessions_of_the_same_moment_are_distinguished(service: ServiceUnderTest) -> None:
    made = await started(service, 5)
    await service.database.execute("UPDATE upload_sessions SET create_time = now()")
    assert sorted(await walked(service, [2])) == sorted(made)


async def test_sessions_started_while_paging_neither_repeat_nor_hide_others(
    service: ServiceUnderTest,
) -> None:
    made = await started(service, 4)
    first = await page(service, page_size=2)
    await started(service, 3)
    rest = await page(service, page_size=10, page_token=first.next_page_token)
    assert [s.attachment_id for s in (*first.sessions, *rest.sessions)] == made
    assert not rest.next_page_token


async def test_the_filter_sees_deadlines_that_have_passed(service: ServiceUnderTest) -> None:
    ready = await service.ready()
    pending, expired, cancelled = await started(service, 3)
    await service.cancel(cancelled)
    await service.age(expired, timedelta(hours=1))
    for states, expected in (
        ([PENDING], {pending}),
        ([EXPIRED], {expired}),
        ([READY, CANCELLED], {ready, cancelled}),
        ([], {ready, pending, expired, cancelled}),
    ):
        assert set(await ids(service, filter={"states": states})) == expected


async def test_the_filter_takes_times_and_purposes(service: ServiceUnderTest) -> None:
    new, old = await started(service, 2)
    await service.age(old, timedelta(minutes=30))
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) - timedelta(minutes=15))
    assert await ids(service, filter={"create_time_from": moment}) == [new]
    assert await ids(service, filter={"create_time_before": moment}) == [old]
    assert await ids(service, filter={"purpose": "default"}) == [new, old]
    assert await ids(service, filter={"purpose": "'; drop table"}) == []


async def test_other_tenants_sessions_are_not_listed(service: ServiceUnderTest) -> None:
    await started(service, 2)
    service.metadata = (("authorization", f"Bearer {await service.new_key(tenants=['other'])}"),)
    assert await ids(service, tenant_id="other") == []
    refused = await failure(page(service, tenant_id=TENANT))
    assert refused.reason == "TENANT_DENIED"


async def test_rows_past_their_time_are_gone(service: ServiceUnderTest) -> None:
    kept, gone = await started(service, 2)
    await service.age(gone, timedelta(days=60))
    assert await ids(service) == [kept]


async def test_the_total_counts_all_pages_of_the_filter(service: ServiceUnderTest) -> None:
    ready = await service.ready()
    *_, expired, cancelled, gone = [ready, *await started(service, 5)]
    await service.cancel(cancelled)
    await service.age(expired, timedelta(hours=1))
    await service.age(gone, timedelta(days=60))
    key = await service.new_key(tenants=["other"])
    others = (("authorization", f"Bearer {key}"),)
    for states, total in (([], 5), ([PENDING], 2), ([EXPIRED], 1), ([READY, CANCELLED], 2)):
        first = await page(service, page_size=1, include_total=True, filter={"states": states})
        assert (first.total_count, first.total_count_is_exact) == (total, True)
    nothing = await page(service, include_total=True, filter={"purpose": "none"})
    assert nothing.HasField("total_count")
    assert (nothing.total_count, nothing.total_count_is_exact) == (0, True)
    token = (await page(service, page_size=2)).next_page_token
    rest = await page(service, page_size=2, page_token=token, include_total=True)
    assert rest.total_count == 5
    without = await page(service)
    assert not without.HasField("total_count")
    assert not without.total_count_is_exact
    service.metadata = others
    assert (await page(service, tenant_id="other", include_total=True)).total_count == 0


@pytest.mark.exhaustive
async def test_the_total_is_exact_up_to_ten_thousand(service: ServiceUnderTest) -> None:
    await service.start(size_bytes=1)
    await service.database.execute(COPIES, 9_999)
    full = await page(service, page_size=1, include_total=True)
    assert (full.total_count, full.total_count_is_exact) == (10_000, True)
    await service.start(size_bytes=1)
    more = await page(service, page_size=1, include_total=True)
    assert (more.total_count, more.total_count_is_exact) == (10_000, False)


@pytest.mark.exhaustive
async def test_a_count_reads_no_more_rows_than_it_counts(service: ServiceUnderTest) -> None:
    await service.start(size_bytes=1)
    await service.database.execute(COPIES, 20_000)
    await service.database.execute("ANALYZE upload_sessions")
    statement = query("sessions/count")
    values = dict.fromkeys(statement.parameters) | {"tenant_id": TENANT, "limit": 101}
    plan = await service.database.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", *statement.bind(values)
    )
    node = json.loads(plan)[0]["Plan"]
    while node["Node Type"] not in SCANS:
        node = node["Plans"][0]
    assert node["Actual Rows"] == 101


@pytest.mark.bad_input
async def test_page_sizes_have_a_default_and_a_most(service: ServiceUnderTest) -> None:
    await started(service, 51)
    assert len(await ids(service)) == 50
    assert len(await ids(service, page_size=10**9)) == 51
    refused = await failure(page(service, page_size=-1))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations == [("page_size", "INVALID_PAGE_SIZE")]


async def test_a_page_ends_where_no_caller_could_receive_more(service: ServiceUnderTest) -> None:
    first = await service.start(size_bytes=1, metadata={str(n): "v" * 512 for n in range(50)})
    await service.database.execute(
        """
        INSERT INTO upload_sessions SELECT (jsonb_populate_record(s, to_jsonb(s)
            || jsonb_build_object('attachment_id', gen_random_uuid()))).*
        FROM upload_sessions AS s, generate_series(1, 299)
        """
    )
    got = await page(service, page_size=1000)
    assert 100 < len(got.sessions) < 300
    rest = await page(service, page_size=1000, page_token=got.next_page_token)
    assert len(got.sessions) + len(rest.sessions) == 300
    assert first.session.attachment_id in {s.attachment_id for s in (*got.sessions, *rest.sessions)}


@pytest.mark.bad_input
@pytest.mark.parametrize("place", [b"garbage", b"\xff", b"0001-01-01T00:00:00+23:59 " + b"0" * 32])
async def test_a_forged_token_is_refused_like_any_other(
    service: ServiceUnderTest, place: bytes
) -> None:
    wanted = SessionFilter(states=(), purpose=None, create_time_from=None, create_time_before=None)
    listing = {"tenant_id": TENANT, "filter": repr(wanted)}
    canonical = json.dumps(listing, sort_keys=True, default=str).encode()
    check = hashlib.sha256(place + b"\0" + canonical).digest()[:12]
    token = base64.urlsafe_b64encode(check + place).decode().rstrip("=")
    assert (await failure(page(service, page_token=token))).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.bad_input
async def test_a_state_of_the_future_is_refused(service: ServiceUnderTest) -> None:
    for state in (0, 99):
        refused = await failure(page(service, filter={"states": [state]}))
        assert refused.violations == [("filter.states", "INVALID_FILTER")]


@pytest.mark.bad_input
async def test_a_token_is_invalid_in_another_listing(service: ServiceUnderTest) -> None:
    await started(service, 3)
    token = (await page(service, page_size=1)).next_page_token
    key = await service.new_key(tenants=None)
    service.metadata = (("authorization", f"Bearer {key}"),)
    for fields in (
        {"tenant_id": "other"},
        {"filter": {"purpose": "default"}},
        {"filter": {"states": [PENDING]}},
    ):
        refused = await failure(page(service, page_token=token, **fields))
        assert refused.reason == "INVALID_PAGE_TOKEN"
        assert refused.violations == [("page_token", "INVALID_PAGE_TOKEN")]


@pytest.mark.bad_input
async def test_a_changed_token_is_refused(service: ServiceUnderTest) -> None:
    await started(service, 3)
    token = (await page(service, page_size=1)).next_page_token
    changed = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(40)]
    for odd in (*changed, token[:-1], token + "A", token + "=", "x", "%", "\u00fc", " " * 9):
        assert (await failure(page(service, page_token=odd))).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("states", [[], [PENDING], [PENDING, READY]])
@pytest.mark.exhaustive
async def test_a_page_is_read_from_the_index_and_never_by_sorting(
    service: ServiceUnderTest, states: list[int]
) -> None:
    await service.start(size_bytes=1)
    await service.database.execute(COPIES, 20_000)
    await service.database.execute("ANALYZE upload_sessions")
    plans = await _plans(service, states)
    assert "Sort" not in plans
    assert "Seq Scan" not in plans
    assert "upload_sessions_by_create_time" in plans


async def _plans(service: ServiceUnderTest, states: list[int]) -> str:
    known = pb.UploadSessionState.DESCRIPTOR.values_by_number
    names = [known[s].name.rpartition("_")[2].lower() for s in states] or None
    statement = query("sessions/list")
    values = dict.fromkeys(statement.parameters) | {
        "tenant_id": TENANT,
        "after_time": datetime.now(UTC),
        "after_id": "0" * 8 + "-0000-7000-8000-" + "0" * 12,
        "states": names,
        "limit": 51,
    }
    rows = await service.database.fetch(f"EXPLAIN {statement.text}", *statement.bind(values))
    return "\n".join(row[0] for row in rows)
