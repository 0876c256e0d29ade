"""StartUploadSession: its response, the stored session, and repeated calls."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from attachery.v1 import resources_pb2 as pb
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

PENDING = pb.UPLOAD_SESSION_STATE_PENDING


async def test_the_session_shows_its_declaration_and_lifetimes(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(
        filename="Bericht.pdf",
        content_type="application/pdf; version=1.7",
        size_bytes=11,
        checksums={"md5": "A" * 32},
        content_id="<cid-1@mail>",
        metadata={"k": "v"},
    )
    session = started.session
    assert session.state == PENDING
    assert session.tenant_id == TENANT
    assert session.filename == "Bericht.pdf"
    assert session.content_type == "application/pdf; version=1.7"
    assert session.declared_size_bytes == 11
    assert session.max_size_bytes == 157_286_400
    assert session.declared_checksums == pb.Checksums(md5="a" * 32)
    assert session.content_id == "cid-1@mail"
    assert session.disposition == pb.DISPOSITION_INLINE
    assert session.purpose == "default"
    assert dict(session.metadata) == {"k": "v"}
    assert session.created_by == "tester"
    assert session.revision == 1
    created = session.create_time.ToDatetime()
    assert session.expire_time.ToDatetime() - created == timedelta(hours=1)
    assert session.object_purge_time.ToDatetime() - created == timedelta(hours=1)
    assert session.metadata_purge_time.ToDatetime() - created == timedelta(days=60)
    assert session.upload_url_expire_time == session.expire_time
    for absent in ("size_bytes", "complete_time", "verified_checksums", "failure"):
        assert not session.HasField(absent)


async def test_the_id_is_a_uuid_of_version_7(service: ServiceUnderTest) -> None:
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    assert attachment_id[14] == "7"
    assert len(attachment_id) == 36


async def test_a_declared_size_gives_a_put_that_signs_every_constraint(
    service: ServiceUnderTest,
) -> None:
    target = (
        await service.start(size_bytes=6, checksums={"sha256": "ab" * 32, "md5": "cd" * 16})
    ).target
    signed = parse_qs(urlsplit(target.url).query)["X-Amz-SignedHeaders"][0].split(";")
    assert target.method == "PUT"
    assert set(signed) == {"host"} | {name.lower() for name in target.headers}
    assert {
        "content-length",
        "content-type",
        "content-md5",
        "if-none-match",
        "x-amz-checksum-sha256",
        "x-amz-sdk-checksum-algorithm",
    } <= set(signed)


async def test_an_undeclared_size_gives_a_form(service: ServiceUnderTest) -> None:
    started = await service.start()
    assert started.target.method == "POST"
    assert not started.session.HasField("declared_size_bytes")
    assert started.target.form_fields["Content-Type"] == "text/plain"


async def test_the_target_says_when_it_ends_in_both_ways(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=1, ttl=timedelta(minutes=5))
    assert started.target.ttl.seconds in (299, 300)
    assert started.target.expire_time.seconds == pytest.approx(
        started.session.expire_time.seconds, abs=1
    )
    assert int(parse_qs(urlsplit(started.target.url).query)["X-Amz-Expires"][0]) <= 300


async def test_keys_and_urls_contain_no_caller_text_but_the_tenant(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(filename="sêcret;name.txt", metadata={"word": "hidden"})
    key = started.target.form_fields["key"]
    assert key.split("/")[:3] == ["attachery", TENANT, started.session.attachment_id]
    assert "name" not in key
    assert "hidden" not in started.target.url


async def test_an_absolute_deadline_is_kept_and_judged_by_the_databases_clock(
    service: ServiceUnderTest,
) -> None:
    wanted = Timestamp()
    wanted.FromDatetime(datetime.now(UTC) + timedelta(hours=2))
    started = await service.start(size_bytes=1, expire_time=wanted)
    assert started.session.expire_time.seconds == wanted.seconds
    for offset in (timedelta(seconds=1), timedelta(hours=-1), timedelta(hours=25)):
        wanted.FromDatetime(datetime.now(UTC) + offset)
        refused = await failure(service.start(size_bytes=1, expire_time=wanted))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.reason == "INVALID_EXPIRE_TIME"


async def test_bytes_never_end_before_the_session_may_be_completed(
    service: ServiceUnderTest,
) -> None:
    session = (await service.start(size_bytes=1, ttl=timedelta(hours=24))).session
    assert session.object_purge_time == session.expire_time


async def test_validate_only_checks_everything_and_stores_nothing(
    service: ServiceUnderTest,
) -> None:
    answered = await service.start(size_bytes=6, validate_only=True, request_id="r-1")
    assert answered.session.attachment_id == ""
    assert not answered.HasField("target")
    assert answered.session.HasField("expire_time")
    refused = await failure(service.start(filename="a/b", validate_only=True))
    assert refused.reason == "INVALID_FILENAME"
    assert await service.database.fetchval("SELECT count(*) FROM upload_sessions") == 0
    assert await service.database.fetchval("SELECT count(*) FROM request_outcomes") == 0


async def test_a_repeated_request_id_finds_the_same_session_and_signs_anew(
    service: ServiceUnderTest,
) -> None:
    first = await service.start(size_bytes=6, request_id="r-1")
    second = await service.start(size_bytes=6, request_id="r-1")
    assert second.session == first.session
    assert await service.send(second.target, b"hello\n") == 200
    assert await service.events(first.session.attachment_id) == ["pending"]


async def test_a_request_id_is_any_text_and_compared_exactly(
    service: ServiceUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    # 2,000 bytes that PostgreSQL cannot compress in its index.
    longest = "".join(chr(0x10000 + 37 * n * n % 0xF0000) for n in range(500))
    texts = ["a", "A", "a ", " ", "\u00fc", "u\u0308", "\uff41", "a\u2028b", "'; --", longest]
    first = [await service.start(request_id=text) for text in texts]
    again = [await service.start(request_id=text) for text in texts]
    made = [started.session.attachment_id for started in first]
    assert [started.session.attachment_id for started in again] == made
    assert len(set(made)) == len(texts)
    for text, attachment_id in zip(texts, made, strict=True):
        assert (await service.cancel(attachment_id, text)).attachment_id == attachment_id
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == sum(json.loads(line)["event"] == "rpc" for line in lines) == 3 * len(texts)


async def test_a_request_id_with_another_payload_is_refused(service: ServiceUnderTest) -> None:
    await service.start(size_bytes=6, request_id="r-1")
    refused = await failure(service.start(size_bytes=7, request_id="r-1"))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.facts["field"]) == ("REQUEST_ID_REUSED", "request_id")
    assert refused.facts["httpStatus"] == "400"


async def test_equivalent_requests_are_the_same_payload(service: ServiceUnderTest) -> None:
    first = await service.start(size_bytes=6, request_id="r-1")
    again = await service.start(
        size_bytes=6, request_id="r-1", purpose="default", checksums={"md5": ""}
    )
    assert again.session == first.session


async def test_validate_only_ignores_the_request_id(
    service: ServiceUnderTest,
) -> None:
    first = await service.start(size_bytes=6, request_id="r-1")
    checked = await service.start(size_bytes=7, request_id="r-1", validate_only=True)
    assert checked.session.declared_size_bytes == 7
    assert (await service.start(size_bytes=6, request_id="r-1")).session == first.session


async def test_an_expired_request_id_hides_no_violations(
    service: ServiceUnderTest,
) -> None:
    await service.start(size_bytes=6, request_id="r-1")
    await service.database.execute(
        "UPDATE request_outcomes SET create_time = create_time - interval '25 hours'"
    )
    refused = await failure(
        service.start(size_bytes=6, request_id="r-1", expire_time=Timestamp(seconds=1))
    )
    assert refused.reason == "INVALID_EXPIRE_TIME"


async def test_fifty_parallel_equal_starts_make_one_session(service: ServiceUnderTest) -> None:
    answers = await asyncio.gather(
        *(service.start(size_bytes=6, request_id="r-1") for _ in range(50))
    )
    assert len({answer.session.attachment_id for answer in answers}) == 1
    assert await service.database.fetchval("SELECT count(*) FROM upload_sessions") == 1
    assert await service.database.fetchval("SELECT count(*) FROM session_events") == 1


async def test_of_parallel_starts_with_two_payloads_one_wins_and_the_other_is_refused(
    service: ServiceUnderTest,
) -> None:
    sizes = [6, 7] * 10
    answers = await asyncio.gather(
        *(service.start(size_bytes=size, request_id="r-1") for size in sizes),
        return_exceptions=True,
    )
    won = {a.session.declared_size_bytes for a in answers if not isinstance(a, BaseException)}
    assert len(won) == 1
    assert sum(isinstance(a, BaseException) for a in answers) == 10
    assert await service.database.fetchval("SELECT count(*) FROM upload_sessions") == 1


async def test_a_request_id_is_free_again_after_24_hours(service: ServiceUnderTest) -> None:
    first = await service.start(size_bytes=6, request_id="r-1")
    await service.database.execute(
        "UPDATE request_outcomes SET create_time = create_time - interval '24 hours'"
    )
    second = await service.start(size_bytes=7, request_id="r-1")
    assert second.session.attachment_id != first.session.attachment_id


async def test_the_same_request_id_in_two_tenants_is_two_requests(
    make_service: MakeService,
) -> None:
    service = await make_service()
    key = await service.new_key(tenants=None)
    service.metadata = (("authorization", f"Bearer {key}"),)
    first = await service.start(size_bytes=6, request_id="r-1")
    second = await service.start(size_bytes=7, request_id="r-1", tenant_id="other")
    assert first.session.attachment_id != second.session.attachment_id


async def test_a_repeated_start_of_an_ended_session_shows_it_without_a_target(
    service: ServiceUnderTest,
) -> None:
    first = await service.start(size_bytes=6, request_id="r-1")
    await service.cancel(first.session.attachment_id)
    again = await service.start(size_bytes=6, request_id="r-1")
    assert again.session.state == pb.UPLOAD_SESSION_STATE_CANCELLED
    assert not again.HasField("target")
