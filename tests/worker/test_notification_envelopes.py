"""Notifications in the envelopes of SNS, EventBridge, SQS and Pub/Sub, and SNS's confirmations."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from attachery.v1 import resources_pb2 as pb
from attachery_service.domain.object_created import NotificationKind
from support.notifying import Notified, created, endpoint_of, records, started
from support.service_fixtures import ServiceUnderTest

TOPIC = "arn:aws:sns:eu-central-1:123456789012:attachery-uploads"
CONFIRM_URL = (
    "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"
    f"&TopicArn={TOPIC}&Token=2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92"
)
SNS_HEADERS = {
    "x-amz-sns-message-type": "Notification",
    "Content-Type": "text/plain; charset=UTF-8",
}
READY = pb.UPLOAD_SESSION_STATE_READY


def sns(message: object, kind: str = "Notification") -> dict[str, Any]:
    return {
        "Type": kind,
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "TopicArn": TOPIC,
        "Subject": "Amazon S3 Notification",
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-04-26T20:45:04.751Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLEpH+DcEwjAPg8O9mY8dReBSwksfg2S7WKQcikcNKWLQjwu6A4VbeS0Q==",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-f3.pem",
    }


def confirmation(kind: str = "SubscriptionConfirmation", **changes: object) -> dict[str, Any]:
    token = {"Token": "2336412f37fb", "SubscribeURL": CONFIRM_URL}
    return {**sns("You have chosen to subscribe to the topic.", kind), **token, **changes}


def eventbridge(bucket: str, key: str, kind: str = "Object Created") -> dict[str, Any]:
    """The plain key, not encoded."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-12T00:00:00Z",
        "region": "eu-central-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 6, "etag": "b1946ac9", "sequencer": "617f08299329d189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def minio(bucket: str, key: str) -> dict[str, Any]:
    return {
        "EventName": "s3:ObjectCreated:Put",
        "Key": f"{bucket}/{key}",
        **records(created(bucket, key, "s3:ObjectCreated:Put")),
    }


def sqs(message: object) -> dict[str, Any]:
    return {
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": json.dumps(message),
        "eventSource": "aws:sqs",
    }


def pubsub(bucket: str, key: str, kind: str = "OBJECT_FINALIZE") -> dict[str, Any]:
    attributes = {"eventType": kind, "bucketId": bucket, "objectId": key, "payloadFormat": "NONE"}
    message = {"attributes": attributes, "messageId": "136969346945"}
    return {"message": message, "subscription": "projects/p/subscriptions/s"}


Wrap = Callable[[str, str], object]
FORMS: dict[str, tuple[str, Wrap]] = {
    "S3": ("s3", lambda b, k: records(created(b, k))),
    "MinIO": ("s3", minio),
    "SNS": ("s3", lambda b, k: sns(records(created(b, k)))),
    "SNS to SQS": ("s3", lambda b, k: records(sqs(sns(records(created(b, k)))))),
    "SNS to a function": ("s3", lambda b, k: records({"Sns": sns(records(created(b, k)))})),
    "SQS": ("s3", lambda b, k: records(sqs(records(created(b, k))))),
    "a pipe from SQS": ("s3", lambda b, k: [sqs(records(created(b, k)))]),
    "EventBridge": ("eventbridge", eventbridge),
    "EventBridge, a batch": ("eventbridge", lambda b, k: [eventbridge(b, k)]),
    "EventBridge to SNS": ("eventbridge", lambda b, k: sns(eventbridge(b, k))),
    "EventBridge to SNS to SQS": ("eventbridge", lambda b, k: records(sqs(sns(eventbridge(b, k))))),
    "Pub/Sub": ("pubsub", pubsub),
}


@pytest.fixture
async def door(service: ServiceUnderTest) -> AsyncIterator[Notified]:
    async with endpoint_of(service.settings, service.http) as opened:
        yield opened


def kinds(door: Notified) -> Counter[str]:
    name = "attachery_notifications_received_total"
    values = {k: door.registry.get_sample_value(name, {"kind": k}) for k in NotificationKind}
    assert None not in values.values()
    return +Counter({k.value: int(value or 0) for k, value in values.items()})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.sample(3)
async def test_an_event_is_found_in_every_envelope(
    service: ServiceUnderTest, door: Notified, form: str
) -> None:
    kind, wrap = FORMS[form]
    attachment_id, key = await started(service)
    message = json.dumps(wrap(service.bucket, key)).encode()
    assert await door.tell(message, **SNS_HEADERS) == 200
    await door.until(completed=1)
    assert (await service.get(attachment_id)).state == READY
    assert kinds(door) == {kind: 1}


async def test_a_key_of_eventbridge_is_not_decoded(
    service: ServiceUnderTest, door: Notified
) -> None:
    _, key = await started(service)
    encoded = key.replace("/", "%2F")
    assert await door.tell(eventbridge(service.bucket, encoded)) == 200
    assert door.counts() == {"ignored": 1}


OTHERS: list[tuple[object, dict[str, int]]] = [
    ({"hello": "world"}, {"unknown": 1}),
    ({}, {"unknown": 1}),
    (sns("published by hand"), {"unknown": 1}),
    (sns("[]"), {}),
    (sns(json.dumps("text")), {"unknown": 1}),
    ({"Type": "Notification"}, {"unknown": 1}),
    ({"Type": "Notification", "Message": {"Records": []}}, {"unknown": 1}),
    ([7, None, "x"], {"unknown": 3}),
    (eventbridge("another", "k"), {"eventbridge": 1}),
    (eventbridge("b", "k", "Object Deleted"), {"eventbridge": 1}),
    ({"detail-type": "Object Created", "detail": None}, {"eventbridge": 1}),
    ({"detail-type": "Scheduled Event", "detail": {}}, {"eventbridge": 1}),
    (pubsub("b", "k", "OBJECT_DELETE"), {"pubsub": 1}),
    (records({"body": "{", "messageId": "m"}), {"unknown": 1}),
    (sns(sns(sns(sns(sns(sns("deep")))))), {"unknown": 1}),
    (sns("[" * 10_000), {"unknown": 1}),
]


@pytest.mark.bad_input
@pytest.mark.parametrize(("message", "expected"), OTHERS, ids=range(len(OTHERS)))
@pytest.mark.sample(3)
async def test_other_bodies_are_counted_as_ignored(
    door: Notified, message: object, expected: dict[str, int]
) -> None:
    assert await door.tell(message) == 200
    assert kinds(door) == expected
    assert door.counts() == Counter({"ignored": sum(expected.values())}) & Counter(ignored=9)


async def test_the_test_event_is_neither_an_event_nor_ignored(door: Notified) -> None:
    greeting = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}
    assert await door.tell(greeting) == 200
    assert await door.tell(sns(greeting)) == 200
    assert (kinds(door), door.counts()) == ({"test": 2}, {})


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["logger"] == "attachery.notifications"]


async def test_a_subscription_is_logged_with_instructions_and_not_confirmed(
    service: ServiceUnderTest, door: Notified, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    headers = {**SNS_HEADERS, "x-amz-sns-message-type": "SubscriptionConfirmation"}
    assert await door.tell(confirmation(), **headers) == 200
    (line,) = logged(capsys)
    assert (line["event"], line["level"]) == ("subscription to confirm", "warning")
    assert (line["topic"], line["confirm_url"]) == (TOPIC, CONFIRM_URL)
    assert "aws sns confirm-subscription" in line["instructions"]
    assert (kinds(door), door.counts()) == ({"subscription": 1}, {})


async def test_an_ended_subscription_is_logged(
    service: ServiceUnderTest, door: Notified, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert await door.tell(confirmation("UnsubscribeConfirmation"), **SNS_HEADERS) == 200
    (line,) = logged(capsys)
    assert (line["event"], line["confirm_url"]) == ("subscription ended", CONFIRM_URL)
    assert kinds(door) == {"unsubscription": 1}


async def test_no_url_of_a_confirmation_is_ever_opened_or_shown_unless_it_is_of_sns(
    service: ServiceUnderTest, door: Notified, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = list[str]()

    async def trap(request: aiohttp.web.Request) -> aiohttp.web.Response:
        opened.append(request.path)
        return aiohttp.web.Response()

    app = aiohttp.web.Application()
    app.router.add_route("*", "/{path:.*}", trap)
    runner = aiohttp.web.AppRunner(app, access_log=None)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    local = f"http://127.0.0.1:{runner.addresses[0][1]}/confirm"
    urls: list[object] = [
        local,
        CONFIRM_URL.replace("https:", "http:"),
        CONFIRM_URL.replace("amazonaws.com", "amazonaws.com.evil.example"),
        CONFIRM_URL.replace("https://", "https://user@evil.example@"),
        CONFIRM_URL + "\nforged line",
        None,
        7,
    ]
    capsys.readouterr()
    for url in urls:
        assert await door.tell(confirmation(SubscribeURL=url, TopicArn=local), **SNS_HEADERS) == 200
    await runner.cleanup()
    lines = logged(capsys)
    assert len(lines) == len(urls)
    assert {line["topic"] for line in lines} == {"not an SNS topic"}
    assert {line["confirm_url"] for line in lines} == {"not a URL of SNS: do not confirm it"}
    assert opened == []


async def test_confirmations_do_not_flood_the_log(
    service: ServiceUnderTest, door: Notified, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for _ in range(25):
        await door.tell(confirmation(), **SNS_HEADERS)
    assert len(logged(capsys)) == 10
    assert kinds(door) == {"subscription": 25}


async def test_sns_is_challenged_for_the_credentials_of_its_url(service: ServiceUnderTest) -> None:
    attachment_id, key = await started(service)
    message = json.dumps(sns(records(created(service.bucket, key)))).encode()
    async with endpoint_of(
        service.settings, service.http, notifications_token=SecretStr("s3cret")
    ) as door:
        # SNS sends this for https://sns:s3cret@HOST/notifications.
        async with service.http.post(door.url, data=message, headers=SNS_HEADERS) as answer:
            assert answer.status == 401
            assert re.fullmatch(r'Basic realm=".+"', answer.headers["WWW-Authenticate"])
        for password, status in (("wrong", 403), ("s3cret", 200)):
            pair = base64.b64encode(f"sns:{password}".encode()).decode()
            headers = {**SNS_HEADERS, "Authorization": f"Basic {pair}"}
            assert await door.tell(message, **headers) == status
        await door.until(forbidden=2, completed=1)
    assert (await service.get(attachment_id)).state == READY
