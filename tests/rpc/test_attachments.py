"""AttachmentService: hands out verified bytes only, and exactly those."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
import pytest
from google.rpc import error_details_pb2

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery_service.domain.identity import Scope
from support.failures import failure
from support.service_fixtures import TENANT, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def resolve(
    service: ServiceUnderTest, *ids: str, **fields: Any
) -> list[pb.ResolveAttachmentResult]:
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=ids, **fields)
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return list(answer.results)


async def download(
    service: ServiceUnderTest, attachment_id: str, **fields: Any
) -> pb.CreateDownloadUrlResponse:
    request = pb.CreateDownloadUrlRequest(tenant_id=TENANT, attachment_id=attachment_id, **fields)
    return await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)


async def get(service: ServiceUnderTest, attachment_id: str) -> resources_pb2.Attachment:
    request = pb.GetAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.GetAttachment(request, metadata=service.metadata)
    return answer.attachment


def reason(result: pb.ResolveAttachmentResult) -> str:
    """The reason of a result's status; empty if it is OK."""
    info = error_details_pb2.ErrorInfo()
    for detail in result.status.details:
        if detail.type_url.endswith("ErrorInfo"):
            detail.Unpack(info)
    return info.reason


async def test_resolve_keeps_the_order_and_answers_every_position(
    service: ServiceUnderTest,
) -> None:
    one, two = await service.ready(b"one"), await service.ready(b"two")
    pending = (await service.start(size_bytes=1)).session.attachment_id
    results = await resolve(service, two, UNKNOWN, one, pending, "no-uuid", two)
    assert [r.attachment_id for r in results] == [two, UNKNOWN, one, pending, "no-uuid", two]
    assert [reason(r) for r in results] == [
        "",
        "ATTACHMENT_NOT_FOUND",
        "",
        "UPLOAD_NOT_READY",
        "INVALID_ATTACHMENT_ID",
        "",
    ]
    assert [r.HasField("attachment") for r in results] == [True, False, True, False, False, True]
    assert results[0].attachment.size_bytes == 3
    assert results[0].HasField("status")


async def test_resolve_is_one_statement_for_a_thousand_ids(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    results = await resolve(service, attachment_id, *[UNKNOWN] * 999)
    assert len(results) == 1000
    assert not reason(results[0])


@pytest.mark.bad_input
async def test_resolve_refuses_no_id_and_more_than_a_thousand(service: ServiceUnderTest) -> None:
    none = await failure(resolve(service))
    assert (none.code, none.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ATTACHMENT_IDS",
    )
    many = await failure(resolve(service, *[UNKNOWN] * 1001))
    assert many.reason == "BATCH_TOO_LARGE"
    assert many.facts["maxCount"] == "1000"


async def test_an_answer_no_caller_could_receive_is_refused_with_its_reason(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(metadata={f"key-{n}": "v" * 500 for n in range(20)})
    assert len(await resolve(service, *[attachment_id] * 100)) == 100
    refused = await failure(resolve(service, *[attachment_id] * 1000))
    assert refused.reason == "BATCH_TOO_LARGE"
    assert int(refused.facts["responseBytes"]) > int(refused.facts["maxResponseBytes"])


async def test_resolve_all_or_nothing_aborts_the_others(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    fine = await resolve(service, attachment_id, all_or_nothing=True)
    assert not reason(fine[0])
    results = await resolve(service, attachment_id, UNKNOWN, all_or_nothing=True)
    assert [reason(r) for r in results] == ["BATCH_ABORTED", "ATTACHMENT_NOT_FOUND"]
    assert not results[0].HasField("attachment")


async def test_resolve_returns_urls_on_request(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready(b"bytes")
    plain, *_ = await resolve(service, attachment_id)
    assert not plain.HasField("download")
    asked, *_ = await resolve(
        service, attachment_id, include_download_urls=True, download_ttl=timedelta(seconds=60)
    )
    assert await service.fetch(asked.download.url) == b"bytes"
    assert asked.download.ttl.seconds == 60


async def test_resolving_with_urls_needs_the_right_to_read(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    key = await service.new_key(scopes=[Scope.ATTACHMENTS_RESOLVE])
    service.metadata = (("authorization", f"Bearer {key}"),)
    assert not reason((await resolve(service, attachment_id))[0])
    refused = await failure(resolve(service, attachment_id, include_download_urls=True))
    assert (refused.reason, refused.facts["scope"]) == ("SCOPE_MISSING", "attachments.read")


@pytest.mark.requirement("N13")
async def test_bytes_older_than_an_hour_are_not_handed_out_but_their_metadata_is(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    await service.age(attachment_id, timedelta(hours=1))
    assert [reason(r) for r in await resolve(service, attachment_id)] == ["OBJECT_PURGED"]
    refused = await failure(download(service, attachment_id))
    assert refused.reason == "OBJECT_PURGED"
    assert refused.facts["httpStatus"] == "410"
    assert (await get(service, attachment_id)).filename == "hello.txt"


async def test_a_session_without_an_attachment_is_an_error_with_its_state(
    service: ServiceUnderTest,
) -> None:
    pending = (await service.start(size_bytes=1)).session.attachment_id
    cancelled = (await service.start(size_bytes=1)).session.attachment_id
    await service.cancel(cancelled)
    for attachment_id, expected in ((pending, "UPLOAD_NOT_READY"), (cancelled, "UPLOAD_CANCELLED")):
        assert (await failure(get(service, attachment_id))).reason == expected
        assert (await failure(download(service, attachment_id))).reason == expected
        assert reason((await resolve(service, attachment_id))[0]) == expected


async def test_a_download_is_served_for_saving_under_its_name_and_as_no_page(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready(
        b"<script>", filename="Prüfung „1“.html", content_type="text/html"
    )
    answer = await download(service, attachment_id)
    async with service.http.get(answer.url) as response:
        assert await response.read() == b"<script>"
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"] == (
            'attachment; filename="Pr_fung _1_.html"; '
            "filename*=UTF-8''Pr%C3%BCfung%20%E2%80%9E1%E2%80%9C.html"
        )


async def test_the_longest_name_is_downloaded_under_its_name(service: ServiceUnderTest) -> None:
    name = "\U0001f600" * 251 + ".png"
    attachment_id = await service.ready(b"bytes", filename=name)
    resolved = (await resolve(service, attachment_id, include_download_urls=True))[0]
    for url in ((await download(service, attachment_id)).url, resolved.download.url):
        async with service.http.get(url) as response:
            assert await response.read() == b"bytes"
            header = response.headers["Content-Disposition"]
        assert header == resolved.attachment.content_disposition
        assert unquote(header.partition("filename*=UTF-8''")[2]) == name


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("declared", "served", "shown"),
    [
        ("image/png", "image/png", "inline"),
        ("text/plain; charset=latin1", "text/plain; charset=utf-8", "inline"),
        ("text/html", "application/octet-stream", "attachment"),
        ("image/svg+xml", "application/octet-stream", "attachment"),
        ("application/pdf", "application/octet-stream", "attachment"),
    ],
)
async def test_only_types_that_cannot_run_code_are_shown_inline(
    service: ServiceUnderTest, declared: str, served: str, shown: str
) -> None:
    attachment_id = await service.ready(b"data", content_type=declared)
    answer = await download(service, attachment_id, disposition=resources_pb2.DISPOSITION_INLINE)
    async with service.http.get(answer.url) as response:
        assert response.headers["Content-Type"] == served
        assert response.headers["Content-Disposition"].partition(";")[0] == shown


async def test_a_download_url_has_the_requested_lifetime_but_never_outlives_the_bytes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    assert (await download(service, attachment_id)).ttl.seconds == 900
    asked = await download(service, attachment_id, ttl=timedelta(seconds=30))
    assert parse_qs(urlsplit(asked.url).query)["X-Amz-Expires"] == ["30"]
    await service.age(attachment_id, timedelta(minutes=55))
    assert (await download(service, attachment_id)).ttl.seconds <= 300


@pytest.mark.bad_input
@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta(days=8)])
async def test_a_lifetime_out_of_range_is_refused(
    service: ServiceUnderTest, ttl: timedelta
) -> None:
    refused = await failure(download(service, UNKNOWN, ttl=ttl))
    assert refused.reason == "INVALID_TTL"
    refused = await failure(resolve(service, UNKNOWN, download_ttl=ttl))
    assert refused.reason == "INVALID_DOWNLOAD_TTL"


async def test_missing_bytes_are_data_loss(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    (key,) = await service.keys_in_store()
    await service.s3.delete_object(Bucket=service.bucket, Key=key)
    refused = await failure(download(service, attachment_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_MISSING")


async def test_changed_bytes_are_data_loss(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    (key,) = await service.keys_in_store()
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=b"HELLO\n")
    refused = await failure(download(service, attachment_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_CHANGED")
