"""PostEverywhere's media API, as its documents describe it, from Attachery behind the gateway."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from attachery_service.domain.identity import Scope
from support.gateway_fixtures import FragileService, MakeGateway, RunningGateway
from support.service_fixtures import ServiceUnderTest

pytestmark = pytest.mark.xdist_group("gateways")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(92)
UNKNOWN = "01890000-0000-7000-8000-000000000000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
async def gateway(make_gateway: MakeGateway, gateway_service: ServiceUnderTest) -> RunningGateway:
    return await make_gateway("posteverywhere", gateway_service)


@pytest.fixture
async def http(
    gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gateway, gateway_service.api_key) as client:
        yield client


def client_of(gateway: RunningGateway, api_key: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {api_key}"}
    return httpx.AsyncClient(base_url=f"{gateway.url}/v1", headers=headers, timeout=30)


async def started(http: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    body = {"filename": "a.png", "content_type": "image/png", "size": len(PNG), **changes}
    return data_of(await http.post("/media/upload", json=body))


async def uploaded(http: httpx.AsyncClient, body: bytes = PNG, **changes: object) -> str:
    """Uploads the bytes of new media, and returns their id."""
    target = await started(http, **{"size": len(body), **changes})
    await send(target, body)
    media_id: str = target["media_id"]
    return media_id


async def send(target: dict[str, Any], body: bytes) -> None:
    """Follows `upload_method`."""
    method = target["upload_method"]
    async with httpx.AsyncClient() as storage:
        if method["field_name"]:
            sent = await storage.post(
                target["upload_url"], data=method["fields"], files={method["field_name"]: body}
            )
        else:
            sent = await storage.request(
                method["method"], target["upload_url"], content=body, headers=method["headers"]
            )
    assert sent.is_success, sent.text


def data_of(answer: httpx.Response) -> dict[str, Any]:
    """The data of an envelope."""
    envelope = answer.json()
    assert answer.status_code == 200, envelope
    assert set(envelope) == {"data", "error", "meta"}
    assert envelope["error"] is None
    assert envelope["meta"]["request_id"] == answer.headers["x-request-id"]
    assert TIME.fullmatch(envelope["meta"]["timestamp"])
    data: dict[str, Any] = envelope["data"]
    return data


def refusal_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an envelope."""
    envelope = answer.json()
    assert answer.status_code == status, envelope
    assert set(envelope) == {"data", "error", "meta"}
    assert envelope["data"] is None
    assert set(envelope["error"]) == {"message", "code", "retryable", "details"}
    assert envelope["meta"]["request_id"] == answer.headers["x-request-id"]
    error: dict[str, Any] = envelope["error"]
    assert error["message"]
    return error


@pytest.mark.requirement("P1", "P3", "P4", "P5", "P6", "P7", "P8")
async def test_an_image_is_uploaded_completed_and_read(http: httpx.AsyncClient) -> None:
    target = await started(http, platforms=["instagram"], width=10, height=10)
    media_id = target["media_id"]
    assert target["media_ids"] == [media_id]
    assert target["expires_in"] == 900
    assert target["max_size"] == 20 * 2**20
    assert target["upload_method"]["method"] == "PUT"
    assert target["upload_method"]["content_type"] == "image/png"
    assert f"/v1/media/{media_id}/complete" in target["next_step"]
    await send(target, PNG)

    media = data_of(await http.post(f"/media/{media_id}/complete"))

    assert TIME.fullmatch(media.pop("created_at"))
    assert media == {
        "media_id": media_id,
        "media_ids": [media_id],
        "status": "ready",
        "type": "image",
        "width": None,
        "height": None,
        "duration": None,
        "size": len(PNG),
        "content_type": "image/png",
        "next_step": "Media is ready. Attach it to a post by passing "
        f'"media_ids": ["{media_id}"] to POST /v1/posts.',
    }
    read = data_of(await http.get(f"/media/{media_id}"))
    assert {**media, "created_at": read["created_at"]} == read


@pytest.mark.exhaustive
@pytest.mark.requirement("P2")
@pytest.mark.parametrize(
    ("content_type", "kind", "method", "field"),
    [
        ("image/png", "image", "POST", "file"),
        ("video/mp4", "video", "PUT", None),
        ("application/pdf", "document", "PUT", None),
    ],
)
async def test_media_of_undeclared_size_have_the_method_of_their_type(
    http: httpx.AsyncClient, content_type: str, kind: str, method: str, field: str | None
) -> None:
    target = await started(http, content_type=content_type, size=None)
    assert target["upload_method"]["method"] == method
    assert target["upload_method"]["field_name"] == field
    await send(target, PNG)
    media = data_of(await http.post(f"/media/{target['media_id']}/complete"))
    assert (media["type"], media["status"], media["size"]) == (kind, "ready", len(PNG))


@pytest.mark.exhaustive
@pytest.mark.requirement("P7", "P9")
async def test_media_are_uploading_until_they_are_complete(http: httpx.AsyncClient) -> None:
    media_id = (await started(http))["media_id"]
    pending = data_of(await http.get(f"/media/{media_id}"))
    assert (pending["status"], pending["size"]) == ("uploading", len(PNG))
    error = refusal_of(await http.post(f"/media/{media_id}/complete"), 400)
    assert (error["code"], error["retryable"]) == ("object_not_uploaded", False)
    assert error["details"]["next_action"] == "UPLOAD_BYTES"


@pytest.mark.exhaustive
@pytest.mark.requirement("P3", "P9")
@pytest.mark.parametrize(("size", "body"), [(len(PNG), b""), (len(PNG), PNG + PNG), (None, b"")])
async def test_bytes_of_another_size_fail_the_complete(
    http: httpx.AsyncClient, gateway_service: ServiceUnderTest, size: int | None, body: bytes
) -> None:
    target = await started(http, size=size, content_type="video/mp4")
    key = urlsplit(target["upload_url"]).path.removeprefix(f"/{gateway_service.bucket}/")
    media_id = target["media_id"]
    await gateway_service.s3.put_object(
        Bucket=gateway_service.bucket, Key=key, Body=body, ContentType="video/mp4"
    )
    refusal_of(await http.post(f"/media/{media_id}/complete"), 400)
    failed = data_of(await http.get(f"/media/{media_id}"))
    assert failed["status"] == "failed"
    assert "POST /v1/media/upload" in failed["next_step"]
    refusal_of(await http.post(f"/media/{media_id}/complete"), 400)


@pytest.mark.exhaustive
async def test_media_are_completed_once(http: httpx.AsyncClient) -> None:
    media_id = await uploaded(http)
    data_of(await http.post(f"/media/{media_id}/complete"))
    error = refusal_of(await http.post(f"/media/{media_id}/complete"), 400)
    assert error["code"] == "upload_already_completed"


@pytest.mark.exhaustive
async def test_expired_media_have_failed(
    http: httpx.AsyncClient, gateway_service: ServiceUnderTest
) -> None:
    media_id = await uploaded(http)
    await gateway_service.age(media_id, timedelta(minutes=15))
    error = refusal_of(await http.post(f"/media/{media_id}/complete"), 400)
    assert error["code"] == "upload_expired"
    assert data_of(await http.get(f"/media/{media_id}"))["status"] == "failed"


@pytest.mark.exhaustive
async def test_an_unknown_key_and_a_key_without_the_scope_are_refused(
    gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    async with client_of(gateway, "pe_live_unknown") as stranger:
        refusal_of(await stranger.get(f"/media/{UNKNOWN}"), 401)
    key = await gateway_service.new_key(scopes=[Scope.UPLOADS_READ])
    async with client_of(gateway, key) as reader:
        refusal_of(await reader.get(f"/media/{UNKNOWN}"), 404)
        error = refusal_of(await reader.post(f"/media/{UNKNOWN}/complete"), 403)
        assert error["details"]["scope"] == "uploads.complete"


async def test_media_of_another_tenant_are_like_unknown_ones(
    http: httpx.AsyncClient, gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    media_id = await uploaded(http)
    async with client_of(gateway, await gateway_service.new_key(tenants=["globex"])) as other:
        for unknown in (media_id, UNKNOWN, "media"):
            refusal_of(await other.get(f"/media/{unknown}"), 404)
            refusal_of(await other.post(f"/media/{unknown}/complete"), 404)
    assert data_of(await http.post(f"/media/{media_id}/complete"))["status"] == "ready"


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("filename", None, "parameter_missing"),
        ("filename", "a/b", "invalid_filename"),
        ("filename", 1, "invalid_type"),
        ("content_type", None, "parameter_missing"),
        ("content_type", "image", "invalid_content_type"),
        ("size", 0, "size_out_of_range"),
        ("size", 20 * 2**20 + 1, "size_out_of_range"),
        ("size", "1", "invalid_type"),
        ("size", 2**64, "invalid_value"),
    ],
)
async def test_invalid_media_are_refused(
    http: httpx.AsyncClient, field: str, value: object, code: str
) -> None:
    body = {"filename": "a.png", "content_type": "image/png", "size": 1, field: value}
    error = refusal_of(await http.post("/media/upload", json=body), 400)
    assert (error["code"], error["retryable"]) == (code, False)
    if code != "invalid_value":
        assert list(error["details"]["fields"]) == [field]


@pytest.mark.exhaustive
@pytest.mark.bad_input
async def test_a_body_that_is_no_json_is_a_bad_request(http: httpx.AsyncClient) -> None:
    refusal_of(await http.post("/media/upload", data={"filename": "a.png"}), 400)
    refusal_of(await http.post("/media/upload", json=["a.png"]), 400)


@pytest.mark.exhaustive
@pytest.mark.requirement("P10")
async def test_a_call_above_the_rate_limit_is_refused_with_the_time_to_wait(
    make_gateway: MakeGateway, limited_service: ServiceUnderTest
) -> None:
    gateway = await make_gateway("posteverywhere", limited_service)
    async with client_of(gateway, await limited_service.new_key(tenants=["poster"])) as http:
        answers = [await http.get(f"/media/{UNKNOWN}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    remaining = [answer.headers["x-ratelimit-remaining"] for answer in answers]
    assert remaining == ["2", "1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"3"}
    assert refusal_of(answers[3], 429)["retryable"] is True
    wait, reset = (int(answers[3].headers[name]) for name in ("retry-after", "x-ratelimit-reset"))
    assert 0 < wait <= 3601
    assert abs(reset - time.time() - wait) < 60


@pytest.mark.exhaustive
@pytest.mark.requirement("N12")
async def test_an_outage_is_an_error_that_can_be_retried(
    make_gateway: MakeGateway, fragile_service: FragileService
) -> None:
    gateway = await make_gateway("posteverywhere", fragile_service.service)
    async with client_of(gateway, fragile_service.service.api_key) as http:
        media_id = await uploaded(http)
        for dependency in (fragile_service.storage, fragile_service.database):
            dependency.cut()
            error = refusal_of(await http.post(f"/media/{media_id}/complete"), 500)
            dependency.release()
            assert error["retryable"] is True
            async with asyncio.timeout(30):  # until the service counts as healthy again
                while (await http.get(f"/media/{media_id}")).status_code != 200:
                    pass
        assert data_of(await http.post(f"/media/{media_id}/complete"))["status"] == "ready"
