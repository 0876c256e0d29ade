"""AWS's own SDK drives the gateway of Amazon Connect's Participant Service, unmodified."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config

from attachery_service.domain.identity import Scope
from support.gateway_fixtures import (
    PURPOSES,
    FragileService,
    MakeGateway,
    RunningGateway,
    running_gateway,
)
from support.service_fixtures import TENANT, ServiceUnderTest

pytestmark = pytest.mark.xdist_group("gateways")

BODY = b"hello\n"
UNKNOWN = "01890000-0000-7000-8000-000000000000"
NO_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 1})


@dataclass(frozen=True)
class Participant:
    """The SDK's client with a connection token, in threads of its own."""

    client: Any
    token: str

    async def start(self, size: int = len(BODY), **changes: object) -> dict[str, Any]:
        values = {"ContentType": "text/plain", "AttachmentName": "a.txt", **changes}
        return await self._call(
            self.client.start_attachment_upload, AttachmentSizeInBytes=size, **values
        )

    async def complete(self, *ids: str, **changes: object) -> dict[str, Any]:
        return await self._call(
            self.client.complete_attachment_upload, AttachmentIds=list(ids), **changes
        )

    async def get(self, attachment_id: str, **changes: object) -> dict[str, Any]:
        return await self._call(self.client.get_attachment, AttachmentId=attachment_id, **changes)

    async def uploaded(self) -> str:
        """Returns the id of an attachment whose bytes are in object storage."""
        started = await self.start()
        await put(started["UploadMetadata"])
        attachment_id: str = started["AttachmentId"]
        return attachment_id

    async def _call(self, method: Callable[..., Any], **fields: object) -> dict[str, Any]:
        answer = await asyncio.to_thread(method, ConnectionToken=self.token, **fields)
        headers: dict[str, str] = answer.pop("ResponseMetadata")["HTTPHeaders"]
        assert headers["x-request-id"]
        return dict(answer)

    @contextmanager
    def refused(self, name: str, status: int) -> Any:
        """The block raises this exception of the SDK."""
        with pytest.raises(getattr(self.client.exceptions, name)) as refused:
            yield refused
        error = refused.value.response
        assert error["Error"]["Code"] == name
        assert error["Message"]
        assert error["ResponseMetadata"]["HTTPStatusCode"] == status


async def put(metadata: dict[str, Any], body: bytes = BODY) -> None:
    async with httpx.AsyncClient() as http:
        sent = await http.put(metadata["Url"], content=body, headers=metadata["HeadersToInclude"])
    assert sent.status_code == 200


def sdk_of(gateway: RunningGateway) -> Any:
    return boto3.client(
        "connectparticipant",
        endpoint_url=gateway.url,
        region_name="eu-central-1",
        aws_access_key_id="unused",
        aws_secret_access_key="unused",
        config=NO_RETRIES,
    )


async def connected(gateway: RunningGateway, participant_token: str) -> Participant:
    client = await asyncio.to_thread(sdk_of, gateway)
    answer = await asyncio.to_thread(
        client.create_participant_connection,
        Type=["CONNECTION_CREDENTIALS"],
        ParticipantToken=participant_token,
    )
    return Participant(client, answer["ConnectionCredentials"]["ConnectionToken"])


async def participant_key(
    service: ServiceUnderTest, tenant_id: str = TENANT, name: str = "visitor"
) -> str:
    """A participant token: a key with the scope that creates connections, and no other."""
    key = await service.new_key(tenants=[tenant_id], scopes=[Scope.CONNECTIONS_CREATE])
    await service.database.execute(
        "UPDATE api_keys SET name = $1 WHERE key_id = $2", name, key.split("_")[1]
    )
    return key


@pytest.fixture(scope="module")
async def gateway(make_gateway: MakeGateway, gateway_service: ServiceUnderTest) -> RunningGateway:
    return await make_gateway("connect", gateway_service)


@pytest.fixture
async def visitor(gateway: RunningGateway, gateway_service: ServiceUnderTest) -> Participant:
    return await connected(gateway, await participant_key(gateway_service))


@pytest.mark.requirement("C1", "C2", "C3", "C4")
async def test_a_participant_connects_and_uploads_an_attachment_that_it_can_download(
    gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    client = await asyncio.to_thread(sdk_of, gateway)
    key = await participant_key(gateway_service)
    connection = await asyncio.to_thread(
        client.create_participant_connection, Type=["CONNECTION_CREDENTIALS"], ParticipantToken=key
    )
    credentials = connection["ConnectionCredentials"]
    assert len(credentials["ConnectionToken"]) <= 1000
    assert datetime.fromisoformat(credentials["Expiry"]) > datetime.now(UTC)
    visitor = Participant(client, credentials["ConnectionToken"])

    started = await visitor.start()
    assert set(started) == {"AttachmentId", "UploadMetadata"}
    assert len(started["UploadMetadata"]["Url"]) <= 2000
    assert datetime.fromisoformat(started["UploadMetadata"]["UrlExpiry"]) > datetime.now(UTC)
    await put(started["UploadMetadata"])
    assert await visitor.complete(started["AttachmentId"]) == {}

    found = await visitor.get(started["AttachmentId"])
    assert found["AttachmentSizeInBytes"] == len(BODY)
    async with httpx.AsyncClient() as http:
        assert (await http.get(found["Url"])).content == BODY


@pytest.mark.requirement("C2")
async def test_a_repeated_client_token_has_the_same_outcome(visitor: Participant) -> None:
    first = await visitor.start(ClientToken="start 1 é")
    again = await visitor.start(ClientToken="start 1 é")
    assert again["AttachmentId"] == first["AttachmentId"]
    assert (await visitor.start(ClientToken="START 1 é"))["AttachmentId"] != first["AttachmentId"]
    await put(first["UploadMetadata"])
    for _ in range(2):
        assert await visitor.complete(first["AttachmentId"], ClientToken="complete 1") == {}
    with visitor.refused("ConflictException", 409):
        await visitor.complete(first["AttachmentId"], ClientToken="complete 2")
    assert await visitor.start(ClientToken="start 1 é") == {"AttachmentId": first["AttachmentId"]}


@pytest.mark.exhaustive
@pytest.mark.requirement("C1")
async def test_several_attachments_are_completed_together_or_not_at_all(
    visitor: Participant, gateway_service: ServiceUnderTest
) -> None:
    ids = [await visitor.uploaded() for _ in range(2)]
    missing = (await visitor.start())["AttachmentId"]
    with visitor.refused("ValidationException", 400):
        await visitor.complete(*ids, missing)
    assert [await gateway_service.events(each) for each in ids] == [["pending"]] * 2
    assert await visitor.complete(*ids) == {}
    assert [await gateway_service.events(each) for each in ids] == [["pending", "ready"]] * 2


@pytest.mark.exhaustive
@pytest.mark.requirement("C3", "C7")
async def test_a_participant_cannot_touch_the_upload_of_another(
    visitor: Participant, gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    attachment_id = await visitor.uploaded()
    for tenant_id, name in ((TENANT, "agent"), ("globex", "visitor")):
        other = await connected(gateway, await participant_key(gateway_service, tenant_id, name))
        with other.refused("ValidationException", 400) as foreign:
            await other.complete(attachment_id)
        with other.refused("ValidationException", 400) as unknown:
            await other.complete(UNKNOWN)
        assert foreign.value.response["Message"] == unknown.value.response["Message"]
    assert await visitor.complete(attachment_id) == {}


@pytest.mark.exhaustive
async def test_the_other_participants_of_a_contact_can_download_an_attachment(
    visitor: Participant, gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    attachment_id = await visitor.uploaded()
    await visitor.complete(attachment_id)
    agent = await connected(gateway, await participant_key(gateway_service, name="agent"))
    # This version of the SDK does not know UrlContentDisposition yet.
    body = {
        "AttachmentId": attachment_id,
        "UrlContentDisposition": "INLINE",
        "UrlExpiryInSeconds": 5,
    }
    headers = {"x-amz-bearer": agent.token}
    async with httpx.AsyncClient() as http:
        found = await http.post(f"{gateway.url}/participant/attachment", json=body, headers=headers)
        answer = await http.get(found.json()["Url"])
    assert answer.content == BODY
    assert answer.headers["content-disposition"].startswith("inline")
    remaining = datetime.fromisoformat(found.json()["UrlExpiry"]) - datetime.now(UTC)
    assert timedelta(0) < remaining <= timedelta(seconds=5)


@pytest.mark.exhaustive
@pytest.mark.requirement("C3", "C6")
async def test_a_credential_without_the_right_is_denied(
    visitor: Participant, gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    without = await gateway_service.new_key(scopes=[Scope.UPLOADS_CREATE])
    for token in (without, "attk_1_2", "a b", visitor.token):
        with visitor.refused("AccessDeniedException", 403):
            await connected(gateway, token)
    for token in ("unknown", f"{visitor.token}0"):
        stranger = Participant(visitor.client, token)
        for call in (stranger.start(), stranger.complete(UNKNOWN), stranger.get(UNKNOWN)):
            with stranger.refused("AccessDeniedException", 403):
                await call


@pytest.mark.exhaustive
@pytest.mark.requirement("C7")
async def test_an_upload_that_is_not_there_or_wrong_is_invalid(
    visitor: Participant, gateway_service: ServiceUnderTest
) -> None:
    with visitor.refused("ValidationException", 400):
        await visitor.complete((await visitor.start())["AttachmentId"])
    with visitor.refused("ValidationException", 400):
        await visitor.get((await visitor.start())["AttachmentId"])
    for body in (b"", b"longer than declared"):
        started = await visitor.start()
        # The signed URL accepts the declared size only, so another way into the bucket is taken.
        key = urlsplit(started["UploadMetadata"]["Url"]).path.removeprefix(
            f"/{gateway_service.bucket}/"
        )
        await gateway_service.s3.put_object(
            Bucket=gateway_service.bucket, Key=key, Body=body, ContentType="text/plain"
        )
        with visitor.refused("ValidationException", 400):
            await visitor.complete(started["AttachmentId"])
        with visitor.refused("ConflictException", 409):
            await visitor.complete(started["AttachmentId"])


@pytest.mark.exhaustive
async def test_an_expired_upload_and_a_deleted_attachment_are_invalid(
    visitor: Participant, gateway_service: ServiceUnderTest
) -> None:
    late, old = await visitor.uploaded(), await visitor.uploaded()
    await visitor.complete(old)
    await gateway_service.age(late, timedelta(hours=1))
    with visitor.refused("ValidationException", 400):
        await visitor.complete(late)
    await gateway_service.age(old, timedelta(days=31))
    with visitor.refused("ValidationException", 400):
        await visitor.get(old)


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    "changes",
    [
        {"AttachmentName": "a/b"},
        {"AttachmentName": "x" * 256},
        {"ContentType": "text"},
        {"AttachmentSizeInBytes": 20_000_001},
        {"ClientToken": "x" * 501},
        {"ClientToken": "a\nb"},
        {"ClientToken": "same"},
    ],
)
async def test_an_invalid_upload_is_refused(
    visitor: Participant, changes: dict[str, object]
) -> None:
    await visitor.start(ClientToken="same", AttachmentName="another.txt")
    values = {"size": changes.pop("AttachmentSizeInBytes", len(BODY)), **changes}
    with visitor.refused("ValidationException", 400):
        await visitor.start(**values)  # type: ignore[arg-type]


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("connection", {"Type": ["WEBSOCKET"]}),
        ("connection", {"Type": ["CONNECTION_CREDENTIALS", "FAX"]}),
        ("connection", {"Type": "CONNECTION_CREDENTIALS"}),
        ("connection", {}),
        ("start-attachment-upload", {"ClientToken": "1"}),
        ("complete-attachment-upload", {"AttachmentIds": [], "ClientToken": "1"}),
        ("complete-attachment-upload", {"AttachmentIds": [1], "ClientToken": "1"}),
        ("complete-attachment-upload", {"AttachmentIds": ["a"], "ClientToken": "1"}),
        ("complete-attachment-upload", {"AttachmentIds": [UNKNOWN]}),
        ("complete-attachment-upload", {"AttachmentIds": [UNKNOWN] * 2, "ClientToken": "1"}),
        ("attachment", {"AttachmentId": UNKNOWN, "UrlExpiryInSeconds": 4}),
        ("attachment", {"AttachmentId": UNKNOWN, "UrlExpiryInSeconds": 301}),
        ("attachment", {"AttachmentId": UNKNOWN, "UrlContentDisposition": "inline"}),
        ("attachment", {}),
    ],
)
async def test_a_body_that_breaks_the_model_is_refused(
    visitor: Participant,
    gateway: RunningGateway,
    gateway_service: ServiceUnderTest,
    path: str,
    body: dict[str, object],
) -> None:
    token = await participant_key(gateway_service) if path == "connection" else visitor.token
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        refused = await http.post(
            f"/participant/{path}", json=body, headers={"x-amz-bearer": token}
        )
    assert refused.status_code == 400
    assert refused.headers["x-amzn-errortype"] == "ValidationException"
    assert refused.json()["Message"]


@pytest.mark.exhaustive
@pytest.mark.requirement("C6")
async def test_throttling_and_an_exhausted_quota_are_told_apart(
    make_gateway: MakeGateway, limited_service: ServiceUnderTest, make_service: Any, tmp_path: Path
) -> None:
    throttled = await connected(
        await make_gateway("connect", limited_service), await participant_key(limited_service)
    )
    for _ in range(3):
        await throttled.start()
    with throttled.refused("ThrottlingException", 429) as refused:
        await throttled.start()
    assert int(refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) > 0

    full = await make_service(purposes=PURPOSES, max_attachments=1)
    async with running_gateway(tmp_path, "connect", full.target) as gateway:
        visitor = await connected(gateway, await participant_key(full))
        await visitor.start()
        with visitor.refused("ServiceQuotaExceededException", 402):
            await visitor.start()


@pytest.mark.exhaustive
@pytest.mark.requirement("C6")
async def test_a_failure_of_storage_or_database_is_a_fault_and_loses_nothing(
    make_gateway: MakeGateway, fragile_service: FragileService
) -> None:
    service = fragile_service.service
    visitor = await connected(
        await make_gateway("connect", service), await participant_key(service)
    )
    attachment_id = await visitor.uploaded()
    for dependency in (fragile_service.storage, fragile_service.database):
        dependency.cut()
        with visitor.refused("InternalServerException", 500):
            await visitor.complete(attachment_id)
        dependency.release()
        await serves_again(visitor)
    assert await visitor.complete(attachment_id) == {}


async def serves_again(visitor: Participant) -> None:
    """Waits until the service has a connection to its database again."""
    async with asyncio.timeout(10):
        while True:
            with suppress(visitor.client.exceptions.InternalServerException):
                await visitor.start()
                return
