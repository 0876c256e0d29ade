"""Lightfield's own client works with Attachery behind the gateway, unmodified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from hashlib import md5
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import lightfield
import pytest
from lightfield import AsyncLightfield
from lightfield.types import FileCreateResponse

from attachery_service.domain.identity import Scope
from support.gateway_fixtures import (
    FragileService,
    MakeGateway,
    RunningGateway,
    running_gateway,
)
from support.service_fixtures import ServiceUnderTest

pytestmark = pytest.mark.xdist_group("gateways")

BODY = b"hello\n"
UNKNOWN = "01890000-0000-7000-8000-000000000000"
FIELDS = {
    *("id", "completedAt", "createdAt", "expiresAt"),
    *("filename", "mimeType", "sizeBytes", "status"),
}


@pytest.fixture(scope="module")
async def gateway(make_gateway: MakeGateway, gateway_service: ServiceUnderTest) -> RunningGateway:
    return await make_gateway("lightfield", gateway_service)


@pytest.fixture
async def client(
    gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> AsyncIterator[AsyncLightfield]:
    async with client_of(gateway, gateway_service.api_key) as client:
        yield client


@asynccontextmanager
async def client_of(gateway: RunningGateway, api_key: str) -> AsyncIterator[AsyncLightfield]:
    async with AsyncLightfield(base_url=gateway.url, api_key=api_key, max_retries=0) as client:
        yield client


async def created(client: AsyncLightfield, size: int = len(BODY)) -> FileCreateResponse:
    return await client.file.create(filename="a.txt", mime_type="text/plain", size_bytes=size)


async def uploaded(client: AsyncLightfield, body: bytes = BODY) -> str:
    """Uploads the bytes of a new file, and returns its id."""
    file = await created(client)
    await put(file, body)
    return file.id


async def put(file: FileCreateResponse, body: bytes = BODY) -> None:
    async with httpx.AsyncClient() as http:
        sent = await http.put(file.upload_url, content=body, headers=file.upload_headers)
    assert sent.status_code == 200


def error_of(refused: lightfield.APIStatusError) -> dict[str, str]:
    assert isinstance(refused.body, dict)
    assert refused.response.headers["x-request-id"]
    error: dict[str, str] = refused.body["error"]
    return error


@pytest.mark.requirement("L1", "L2", "L3", "L4", "L5", "L7", "L8")
async def test_a_file_is_created_uploaded_completed_and_downloaded(
    client: AsyncLightfield,
) -> None:
    file = await client.file.create(
        filename="notes.txt",
        mime_type="text/plain",
        size_bytes=len(BODY),
        purpose="meeting_transcript",
    )
    assert set(file.to_dict()) == FIELDS | {"uploadUrl", "uploadHeaders"}
    assert (file.status, file.completed_at, file.size_bytes) == ("PENDING", None, len(BODY))
    assert file.expires_at is not None
    lifetime = datetime.fromisoformat(file.expires_at) - datetime.fromisoformat(file.created_at)
    assert lifetime == timedelta(hours=1)
    await put(file)

    completed = await client.file.complete(file.id, md5=md5(BODY).hexdigest())  # noqa: S324

    assert set(completed.to_dict()) == FIELDS
    assert (completed.id, completed.status, completed.expires_at) == (file.id, "COMPLETED", None)
    assert (completed.filename, completed.mime_type) == ("notes.txt", "text/plain")
    assert completed.completed_at is not None
    assert completed.completed_at > completed.created_at == file.created_at
    assert (await client.file.retrieve(file.id)).to_dict() == completed.to_dict()
    download = await client.file.url(file.id)
    assert download.expires_at > completed.created_at
    async with httpx.AsyncClient() as http:
        assert (await http.get(download.url)).content == BODY


@pytest.mark.requirement("L4", "L5", "L6")
async def test_a_cancelled_file_has_no_deadline_and_cannot_be_cancelled_again(
    client: AsyncLightfield,
) -> None:
    file = await created(client)
    cancelled = await client.file.cancel(file.id)
    assert set(cancelled.to_dict()) == FIELDS
    assert (cancelled.status, cancelled.expires_at) == ("CANCELLED", None)
    assert cancelled.completed_at is None
    for call in (client.file.cancel, client.file.complete, client.file.url):
        with pytest.raises(lightfield.ConflictError):
            await call(file.id)


@pytest.mark.exhaustive
async def test_a_file_is_completed_once(client: AsyncLightfield) -> None:
    file_id = await uploaded(client)
    await client.file.complete(file_id)
    for call in (client.file.complete, client.file.cancel):
        with pytest.raises(lightfield.ConflictError) as refused:
            await call(file_id)
        assert error_of(refused.value)["type"] == "conflict"
    assert (await client.file.retrieve(file_id)).status == "COMPLETED"


@pytest.mark.exhaustive
@pytest.mark.requirement("L2", "L6")
async def test_wrong_bytes_fail_the_complete_and_then_look_cancelled(
    client: AsyncLightfield,
) -> None:
    file_id = await uploaded(client)
    with pytest.raises(lightfield.UnprocessableEntityError) as refused:
        await client.file.complete(file_id, md5=md5(b"other").hexdigest())  # noqa: S324
    error = error_of(refused.value)
    assert (error["type"], error["code"]) == ("unprocessable_content", "checksum_mismatch")
    failed = await client.file.retrieve(file_id)
    assert (failed.status, failed.expires_at, failed.completed_at) == ("CANCELLED", None, None)
    with pytest.raises(lightfield.ConflictError):
        await client.file.complete(file_id)


@pytest.mark.exhaustive
@pytest.mark.requirement("L1")
async def test_a_file_without_bytes_stays_pending(client: AsyncLightfield) -> None:
    file = await created(client)
    with pytest.raises(lightfield.UnprocessableEntityError) as refused:
        await client.file.complete(file.id)
    assert error_of(refused.value)["code"] == "object_not_uploaded"
    with pytest.raises(lightfield.ConflictError):
        await client.file.url(file.id)
    await put(file)
    assert (await client.file.complete(file.id)).status == "COMPLETED"


@pytest.mark.exhaustive
@pytest.mark.parametrize("body", [b"", b"longer than declared"])
async def test_bytes_of_another_size_fail_the_complete(
    client: AsyncLightfield, gateway_service: ServiceUnderTest, body: bytes
) -> None:
    file = await created(client)
    # The signed URL accepts the declared size only, so another way into the bucket is taken.
    key = urlsplit(file.upload_url).path.removeprefix(f"/{gateway_service.bucket}/")
    await gateway_service.s3.put_object(
        Bucket=gateway_service.bucket, Key=key, Body=body, ContentType="text/plain"
    )
    with pytest.raises(lightfield.UnprocessableEntityError) as refused:
        await client.file.complete(file.id)
    assert error_of(refused.value)["code"] == "size_mismatch"


@pytest.mark.requirement("L4", "L6")
async def test_a_file_whose_deadline_has_passed_is_expired(
    client: AsyncLightfield, gateway_service: ServiceUnderTest
) -> None:
    file_id = await uploaded(client)
    await gateway_service.age(file_id, timedelta(hours=1))
    expired = await client.file.retrieve(file_id)
    assert (expired.status, expired.expires_at, expired.completed_at) == ("EXPIRED", None, None)
    for call in (client.file.complete, client.file.cancel, client.file.url):
        with pytest.raises(lightfield.ConflictError):
            await call(file_id)


@pytest.mark.exhaustive
async def test_an_unknown_key_is_refused(gateway: RunningGateway) -> None:
    async with client_of(gateway, "sk_lf_unknown") as stranger:
        with pytest.raises(lightfield.AuthenticationError) as refused:
            await stranger.file.retrieve(UNKNOWN)
    assert error_of(refused.value)["type"] == "unauthorized"


@pytest.mark.exhaustive
@pytest.mark.requirement("L1")
async def test_each_method_needs_its_scope(
    client: AsyncLightfield, gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    file_id = (await created(client)).id
    reader = await gateway_service.new_key(scopes=[Scope.UPLOADS_READ, Scope.ATTACHMENTS_READ])
    async with client_of(gateway, reader) as reading:
        assert (await reading.file.retrieve(file_id)).status == "PENDING"
        for call in (partial(created, reading), partial(reading.file.complete, file_id)):
            with pytest.raises(lightfield.PermissionDeniedError) as refused:
                await call()
            assert error_of(refused.value)["type"] == "forbidden"
        with pytest.raises(lightfield.PermissionDeniedError):
            await reading.file.cancel(file_id)
    creator = await gateway_service.new_key(scopes=[Scope.UPLOADS_CREATE, Scope.UPLOADS_COMPLETE])
    async with client_of(gateway, creator) as creating:
        own_id = await uploaded(creating)
        assert (await creating.file.complete(own_id)).status == "COMPLETED"
        for read in (creating.file.retrieve, creating.file.url):
            with pytest.raises(lightfield.PermissionDeniedError):
                await read(own_id)
        with pytest.raises(lightfield.PermissionDeniedError):
            await creating.file.list()


async def test_a_file_of_another_tenant_is_like_an_unknown_one(
    client: AsyncLightfield, gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    file_id = await uploaded(client)
    async with client_of(gateway, await gateway_service.new_key(tenants=["globex"])) as other:
        refusals = []
        for unknown in (file_id, UNKNOWN, "fil_unknown"):
            file = other.file
            for call in (file.retrieve, file.complete, file.cancel, file.url):
                with pytest.raises(lightfield.NotFoundError) as refused:
                    await call(unknown)
                refusals.append(error_of(refused.value)["type"])
        assert set(refusals) == {"not_found"}
        assert file_id not in {file.id for file in (await other.file.list()).data}
    assert (await client.file.complete(file_id)).status == "COMPLETED"


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("filename", "", "invalid_filename"),
        ("filename", "a/b", "invalid_filename"),
        ("filename", "x" * 256, "invalid_filename"),
        ("filename", None, "parameter_missing"),
        ("mimeType", "text", "invalid_content_type"),
        ("mimeType", None, "parameter_missing"),
        ("sizeBytes", 0, "size_out_of_range"),
        ("sizeBytes", -1, "size_out_of_range"),
        ("sizeBytes", 536_870_913, "size_out_of_range"),
        ("sizeBytes", "6", "invalid_type"),
        ("sizeBytes", None, "parameter_missing"),
        ("purpose", "avatar", "invalid_purpose"),
        ("purpose", "nylas", "invalid_purpose"),
    ],
)
async def test_an_invalid_file_is_refused_with_its_field(
    client: AsyncLightfield, field: str, value: object, code: str
) -> None:
    with pytest.raises(lightfield.BadRequestError) as refused:
        await client.file.create(
            filename="a.txt", mime_type="text/plain", size_bytes=6, extra_body={field: value}
        )
    error = error_of(refused.value)
    assert (error["type"], error["code"], error["param"]) == ("bad_request", code, field)


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize("md5", ["0", "g" * 32, "A" * 32, "0" * 33])
async def test_a_malformed_md5_is_refused(client: AsyncLightfield, md5: str) -> None:
    file_id = await uploaded(client)
    with pytest.raises(lightfield.BadRequestError) as refused:
        await client.file.complete(file_id, md5=md5)
    assert error_of(refused.value)["param"] == "md5"


@pytest.mark.exhaustive
@pytest.mark.bad_input
@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 26}, {"offset": -1}, {"offset": 10_001}, {"limit": "x"}]
)
async def test_a_page_out_of_range_is_refused(
    client: AsyncLightfield, query: dict[str, object]
) -> None:
    with pytest.raises(lightfield.BadRequestError) as refused:
        await client.file.list(extra_query=query)
    assert error_of(refused.value)["param"] in query


async def test_files_are_listed_by_offset_the_newest_first(
    gateway: RunningGateway, gateway_service: ServiceUnderTest
) -> None:
    async with client_of(gateway, await gateway_service.new_key(tenants=["lister"])) as client:
        assert (await client.file.list()).to_dict() == {
            "data": [],
            "object": "list",
            "totalCount": 0,
        }
        ids = [(await created(client)).id for _ in range(27)][::-1]
        await client.file.cancel(ids[0])

        first = await client.file.list()
        rest = await client.file.list(offset=25)
        middle = await client.file.list(offset=10, limit=2)
        beyond = await client.file.list(offset=27)

    assert [file.id for file in first.data] == ids[:25]
    assert [file.id for file in rest.data] == ids[25:]
    assert [file.id for file in middle.data] == ids[10:12]
    assert beyond.data == []
    assert {page.total_count for page in (first, rest, middle, beyond)} == {27}
    assert [file.status for file in first.data[:2]] == ["CANCELLED", "PENDING"]
    assert set(first.data[0].to_dict()) == FIELDS


@pytest.mark.exhaustive
@pytest.mark.requirement("P10")
async def test_a_call_above_the_rate_limit_is_refused_with_the_time_to_wait(
    make_gateway: MakeGateway, limited_service: ServiceUnderTest
) -> None:
    gateway = await make_gateway("lightfield", limited_service)
    async with client_of(gateway, limited_service.api_key) as client:
        remaining = []
        for _ in range(3):
            answer = await client.file.with_raw_response.create(
                filename="a.txt", mime_type="text/plain", size_bytes=1
            )
            remaining.append(answer.headers["x-ratelimit-remaining"])
        with pytest.raises(lightfield.RateLimitError) as refused:
            await created(client)
    assert remaining == ["2", "1", "0"]
    headers = refused.value.response.headers
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("3", "0")
    assert 0 < int(headers["retry-after"]) <= 3601
    assert abs(int(headers["x-ratelimit-reset"]) - time.time() - int(headers["retry-after"])) < 60
    assert error_of(refused.value)["type"] == "too_many_requests"


@pytest.mark.exhaustive
@pytest.mark.requirement("N12")
async def test_an_outage_is_unavailable_and_loses_nothing(
    make_gateway: MakeGateway, fragile_service: FragileService
) -> None:
    gateway = await make_gateway("lightfield", fragile_service.service)
    async with client_of(gateway, fragile_service.service.api_key) as client:
        file_id = await uploaded(client)
        for dependency in (fragile_service.storage, fragile_service.database):
            dependency.cut()
            with pytest.raises(lightfield.InternalServerError) as refused:
                await client.file.complete(file_id)
            dependency.release()
            assert refused.value.status_code == 503
            assert error_of(refused.value)["type"] == "service_unavailable"
            await serves_again(client, file_id)
        assert (await client.file.complete(file_id)).status == "COMPLETED"


@pytest.mark.exhaustive
async def test_a_bucket_that_is_gone_is_an_internal_error(
    make_gateway: MakeGateway, fragile_service: FragileService
) -> None:
    service = fragile_service.service
    gateway = await make_gateway("lightfield", service)
    async with client_of(gateway, service.api_key) as client:
        file = await created(client)
        await emptied(service)
        await service.s3.delete_bucket(Bucket=service.bucket)
        with pytest.raises(lightfield.InternalServerError) as refused:
            await client.file.complete(file.id)
        await service.s3.create_bucket(Bucket=service.bucket)
    assert refused.value.status_code == 500
    assert error_of(refused.value)["type"] == "internal_server_error"


@pytest.mark.exhaustive
async def test_a_service_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    async with (
        running_gateway(tmp_path, "lightfield", "127.0.0.1:1") as gateway,
        client_of(gateway, "attk_1_2") as client,
    ):
        with pytest.raises(lightfield.InternalServerError) as refused:
            await client.file.retrieve(UNKNOWN)
    assert refused.value.status_code == 503
    assert "127.0.0.1" not in error_of(refused.value)["message"]


async def serves_again(client: AsyncLightfield, file_id: str) -> None:
    """Waits until the service counts as healthy again."""
    async with asyncio.timeout(30):
        while True:
            with suppress(lightfield.InternalServerError):
                await client.file.retrieve(file_id)
                return


async def emptied(service: ServiceUnderTest) -> None:
    for key in await service.keys_in_store():
        await service.s3.delete_object(Bucket=service.bucket, Key=key)
