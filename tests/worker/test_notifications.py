"""Notifications are hints: their content, number and order do not matter."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiobotocore.session import get_session
from pydantic import SecretStr

from attachery.v1 import resources_pb2 as pb
from support.bad_stores import canned_store
from support.notifying import (
    BODY,
    Notified,
    created,
    created_at_ceph,
    endpoint_of,
    records,
    started,
)
from support.service_fixtures import MakeService, ServiceUnderTest
from support.store_fixtures import StoreUnderTest
from support.sweep_fixtures import Sweeper

PENDING, READY = pb.UPLOAD_SESSION_STATE_PENDING, pb.UPLOAD_SESSION_STATE_READY
FAILED = pb.UPLOAD_SESSION_STATE_FAILED
LIMIT = 256 * 1024


@pytest.fixture
async def door(service: ServiceUnderTest) -> AsyncIterator[Notified]:
    async with endpoint_of(service.settings, service.http) as opened:
        yield opened


async def test_an_uploaded_object_makes_its_session_ready_without_any_complete(
    service: ServiceUnderTest, door: Notified
) -> None:
    attachment_id, key = await started(service)

    assert await door.tell(records(created(service.bucket, key))) == 200

    await door.until(completed=1)
    assert (await service.get(attachment_id)).state == READY
    assert await service.events(attachment_id) == ["pending", "ready"]
    actor = await service.database.fetchval(
        "SELECT actor FROM session_events WHERE attachment_id = $1 AND state = 'ready'",
        attachment_id,
    )
    assert actor == "attachery"


@pytest.mark.parametrize("prefix", ["attachery", "", "my files/a+b%41"])
async def test_keys_are_understood_however_they_are_written(
    make_service: MakeService, prefix: str
) -> None:
    service = await make_service(s3_prefix=prefix)
    async with endpoint_of(service.settings, service.http) as door:
        for number, write in enumerate((created, created_at_ceph), start=1):
            attachment_id, key = await started(service)
            assert await door.tell(records(write(service.bucket, key))) == 200
            await door.until(completed=number)
            assert (await service.get(attachment_id)).state == READY


async def test_repeated_notifications_take_effect_once(
    service: ServiceUnderTest, door: Notified
) -> None:
    attachment_id, key = await started(service)
    event = created(service.bucket, key)
    message = records(event, event, event)

    assert set(await asyncio.gather(*(door.tell(message) for _ in range(20)))) == {200}

    async with asyncio.timeout(15):
        while door.counts().total() < 60:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    counts = door.counts()
    assert counts["completed"] == 1
    assert counts["duplicate"] >= 40
    assert set(counts) <= {"completed", "duplicate", "ignored", "unfinished"}
    assert await service.events(attachment_id) == ["pending", "ready"]


async def test_the_order_in_which_they_come_does_not_matter(
    service: ServiceUnderTest, door: Notified
) -> None:
    first_id, first_key = await started(service)
    second_id, second_key = await started(service)
    removed = created(service.bucket, first_key, "ObjectRemoved:Delete")
    copied = created(service.bucket, second_key, "s3:ObjectCreated:Copy")

    assert await door.tell(records(removed, copied)) == 200
    assert await door.tell(records(created(service.bucket, first_key))) == 200

    await door.until(completed=2, ignored=1)
    for attachment_id in (first_id, second_id):
        assert (await service.get(attachment_id)).state == READY

    assert await door.tell(records(created(service.bucket, first_key))) == 200
    await door.until(completed=2, ignored=2)


async def test_it_may_come_before_the_object_can_be_seen(
    service: ServiceUnderTest, door: Notified
) -> None:
    attachment_id, key = await started(service, body=None)
    event = records(created(service.bucket, key))

    await door.tell(event)
    await door.until(unfinished=1)
    assert (await service.get(attachment_id)).state == PENDING

    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=BODY, ContentType="text/plain")
    await door.tell(event)
    await door.until(unfinished=1, completed=1)
    assert (await service.get(attachment_id)).state == READY


async def test_bad_bytes_fail_as_they_would_in_a_complete(
    service: ServiceUnderTest, door: Notified
) -> None:
    attachment_id, key = await started(service, body=None)
    await service.s3.put_object(
        Bucket=service.bucket, Key=key, Body=b"other length", ContentType="text/plain"
    )

    await door.tell(records(created(service.bucket, key)))

    await door.until(unfinished=1)
    session = await service.get(attachment_id)
    assert session.state == FAILED
    assert session.failure.reason == "SIZE_MISMATCH"


async def test_notifications_without_a_waiting_session_are_ignored(
    service: ServiceUnderTest, door: Notified
) -> None:
    attachment_id, key = await started(service)
    own_id, own_key = await started(service, auto_complete=False)
    prefix, tenant, _, nonce = key.split("/")
    foreign = [
        created("other-bucket", key),
        created(service.bucket, f"other/{tenant}/{attachment_id}/{nonce}"),
        created(service.bucket, f"{prefix}/other/{attachment_id}/{nonce}"),
        created(service.bucket, f"{prefix}/{tenant}/{attachment_id}/{nonce}x"),
        created(service.bucket, f"{prefix}/{tenant}/{uuid.uuid4()}/{nonce}"),
        created(service.bucket, f"{prefix}/{tenant}/{attachment_id.upper()}/{nonce}"),
        created(service.bucket, f"{prefix}/{tenant}/{attachment_id}"),
        created(service.bucket, f"{prefix}/.probe/{attachment_id}/0"),
        created(service.bucket, f"{prefix}/{tenant}\0/{attachment_id}/{nonce}"),
        created(service.bucket, f"{prefix}/../{tenant}/{attachment_id}/{nonce}"),
        created(service.bucket, own_key),
        created(service.bucket, key, "ObjectCreatedLater"),
        created(service.bucket, key, "LifecycleExpiration:Delete"),
    ]

    assert await door.tell(records(*foreign)) == 200

    await door.until(ignored=len(foreign))
    assert (await service.get(attachment_id)).state == PENDING
    assert (await service.get(own_id)).state == PENDING


MALFORMED: list[bytes] = [
    b"",
    b"hello",
    b"\xff\xfe",
    b"[]",
    b"7",
    b'{"Records": {}}',
    b'{"Records": "all"}',
    b"[" * 100_000,
    b'{"Records": [' + b"9" * 5000 + b"]}",
]


@pytest.mark.bad_input
@pytest.mark.parametrize("message", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.sample(3)
async def test_malformed_notifications_are_refused(door: Notified, message: bytes) -> None:
    assert await door.tell(message) == 400
    assert door.counts() == {"malformed": 1}


ODD: list[object] = [
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"},
    {"Records": []},
    {"Records": [None, 7, "x", [], {}]},
    {"Records": [{"eventName": 1, "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]},
    {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": None, "object": 1}}]},
    {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {"key": 1}}}]},
]


@pytest.mark.parametrize("message", ODD, ids=range(len(ODD)))
@pytest.mark.sample(2)
async def test_empty_notifications_are_accepted_and_ignored(door: Notified, message: Any) -> None:
    assert await door.tell(message) == 200
    ignored = len(message.get("Records", []))
    assert door.counts() == ({"ignored": ignored} if ignored else {})


@pytest.mark.bad_input
async def test_a_message_that_is_too_long_is_refused(
    service: ServiceUnderTest, door: Notified
) -> None:
    attachment_id, key = await started(service)
    message = json.dumps(records(created(service.bucket, key))).encode()

    async def in_pieces() -> AsyncIterator[bytes]:
        yield message
        for _ in range(LIMIT // 1024):
            yield b" " * 1024

    assert await door.tell(message.ljust(LIMIT + 1)) == 413
    async with service.http.post(door.url, data=in_pieces()) as answer:
        assert answer.status == 413
    assert (await service.get(attachment_id)).state == PENDING
    assert await door.tell(message.ljust(LIMIT)) == 200
    await door.until(completed=1, too_large=2)


async def test_without_the_right_token_notifications_are_refused(service: ServiceUnderTest) -> None:
    attachment_id, key = await started(service)
    message = records(created(service.bucket, key))
    async with endpoint_of(
        service.settings, service.http, notifications_token=SecretStr("s3cret-é")
    ) as door:
        wrong = ["", "Bearer", "Bearer s3cret", "Basic !", "Basic YTpi", "Digest s3cret-é"]
        for credential in wrong:
            assert await door.tell(message, Authorization=credential) == 403
        assert await door.tell(b"not even JSON") == 403
        assert (await service.get(attachment_id)).state == PENDING
        assert door.counts() == {"forbidden": len(wrong) + 1}

        basic = "Basic " + base64.b64encode("ceph:s3cret-é".encode()).decode()
        assert await door.tell(records(), Authorization="bearer s3cret-é") == 200
        assert await door.tell(message, Authorization=basic) == 200
        await door.until(forbidden=len(wrong) + 1, completed=1)


async def test_there_is_a_single_endpoint(door: Notified) -> None:
    base = door.url.removesuffix("/notifications")
    for method, path, status in (
        ("GET", "/notifications", 405),
        ("PUT", "/notifications", 405),
        ("POST", "/", 404),
        ("POST", "/notifications/x", 404),
        ("GET", "/metrics", 404),
    ):
        async with door.http.request(method, base + path) as answer:
            assert answer.status == status
            assert "Server" not in answer.headers


async def test_notifications_beyond_the_queue_must_be_retried(service: ServiceUnderTest) -> None:
    waiting = [await started(service, body=None) for _ in range(4)]
    prefix, tenant, *_ = waiting[0][1].split("/")
    async with (
        canned_store(None) as silent,
        endpoint_of(
            service.settings, service.http, s3_endpoint=silent.endpoint, s3_timeout=300.0
        ) as door,
    ):
        await door.tell(records(*(created(service.bucket, key) for _, key in waiting)))
        async with asyncio.timeout(20):
            while silent.requests < len(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

        statuses = [await door.tell(short_events(service, prefix, tenant)) for _ in range(9)]

        assert statuses == [200] * 8 + [503]
        assert door.counts() == {"too_many": 1}


def short_events(service: ServiceUnderTest, prefix: str, tenant: str) -> dict[str, Any]:
    """The maximum number of events of one message, for sessions that do not exist."""
    return records(
        *(
            {
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": service.bucket},
                    "object": {"key": f"{prefix}/{tenant}/{uuid.uuid4()}/n"},
                },
            }
            for _ in range(1250)
        )
    )


async def test_the_sweep_completes_sessions_after_a_fault(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id, key = await started(service)
    async with endpoint_of(
        service.settings, service.http, s3_endpoint="http://127.0.0.1:9"
    ) as door:
        assert await door.tell(records(created(service.bucket, key))) == 200
        await door.until(postponed=1)
    assert (await service.get(attachment_id)).state == PENDING

    await service.age(attachment_id, timedelta(minutes=59, seconds=30))
    await sweeper()

    assert (await service.get(attachment_id)).state == READY


async def test_the_sweep_completes_queued_sessions_after_a_stop(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    sessions = [await started(service) for _ in range(8)]
    events = [created(service.bucket, key) for _, key in sessions]
    async with canned_store(None) as silent:
        async with endpoint_of(service.settings, service.http, s3_endpoint=silent.endpoint) as door:
            assert await door.tell(records(*events)) == 200
            await asyncio.wait_for(silent.asked.wait(), 10)
        with pytest.raises(aiohttp.ClientConnectionError):
            await door.tell(records(*events))

    for attachment_id, _ in sessions:
        await service.age(attachment_id, timedelta(minutes=59, seconds=30))
    await sweeper()
    for attachment_id, _ in sessions:
        assert (await service.get(attachment_id)).state == READY


async def test_a_notification_of_ceph_completes_the_session(
    request: pytest.FixtureRequest, make_service: MakeService, object_store: StoreUnderTest
) -> None:
    if request.config.getoption("--store") != "ceph":
        pytest.skip("needs a store that sends notifications by HTTP")
    service = await make_service(s3_prefix="my files")
    token = "t0ken-of.the_store"
    async with (
        endpoint_of(service.settings, service.http, notifications_token=SecretStr(token)) as door,
        opened_sns(object_store) as sns,
    ):
        address = door.url.replace("http://", f"http://ceph:{token}@")
        topic = await sns.create_topic(Name="uploads", Attributes={"push-endpoint": address})
        await tell_of_uploads(service, "my files/", topic["TopicArn"])

        put_id, _ = await started(service)
        form = await service.start(auto_complete=True)
        assert await service.send(form.target, BODY) < 300
        plain_id, _ = await started(service, auto_complete=False)

        async with asyncio.timeout(30):
            while door.counts()["completed"] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    for attachment_id in (put_id, form.session.attachment_id):
        assert (await service.get(attachment_id)).state == READY
        assert await service.events(attachment_id) == ["pending", "ready"]
    assert (await service.get(plain_id)).state == PENDING
    assert set(door.counts()) == {"completed", "ignored"}


async def tell_of_uploads(service: ServiceUnderTest, prefix: str, topic: str) -> None:
    below = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}
    await service.s3.put_bucket_notification_configuration(
        Bucket=service.bucket,
        NotificationConfiguration={
            "TopicConfigurations": [
                {
                    "Id": "attachery",
                    "TopicArn": topic,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": below,
                }
            ]
        },
    )


@asynccontextmanager
async def opened_sns(store: StoreUnderTest) -> AsyncIterator[Any]:
    async with get_session().create_client(
        "sns",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
    ) as client:
        yield client
