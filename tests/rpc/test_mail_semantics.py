"""The requirements of mail attachments, by the statements of the e-mail API."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson

from attachery.v1 import attachments_pb2 as pb
from attachery.v1 import resources_pb2
from attachery.v1.upload_sessions_pb2 import GetUploadPolicyRequest, StartUploadSessionRequest
from attachery_service.domain.policy import DEFAULT_ROUTES, Policy
from attachery_service.domain.updates import PATHS
from support.failures import failure
from support.service_fixtures import TENANT, ServiceUnderTest


@pytest.fixture
def service(shared_service: ServiceUnderTest) -> ServiceUnderTest:
    return shared_service


UNSPECIFIED = resources_pb2.DISPOSITION_UNSPECIFIED
ATTACHMENT, INLINE = resources_pb2.DISPOSITION_ATTACHMENT, resources_pb2.DISPOSITION_INLINE
DELETED = resources_pb2.UPLOAD_SESSION_STATE_DELETED


async def get(service: ServiceUnderTest, attachment_id: str) -> resources_pb2.Attachment:
    request = pb.GetAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    answer = await service.attachments.GetAttachment(request, metadata=service.metadata)
    return answer.attachment


async def resolve(service: ServiceUnderTest, *ids: str) -> list[resources_pb2.Attachment]:
    request = pb.ResolveAttachmentsRequest(tenant_id=TENANT, attachment_ids=ids)
    answer = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    return [result.attachment for result in answer.results]


async def made(service: ServiceUnderTest, **fields: Any) -> resources_pb2.Attachment:
    return await get(service, await service.ready(**fields))


@pytest.mark.requirement("A1")
async def test_no_method_edits_the_bytes_and_only_an_update_their_description(
    service: ServiceUnderTest,
) -> None:
    described = set(StartUploadSessionRequest.DESCRIPTOR.fields_by_name) - {
        "tenant_id",
        "request_id",
        "ttl",
        "disposition",  # how one download is served
    }
    for method in pb.DESCRIPTOR.services_by_name["AttachmentService"].methods:
        edited = described & set(method.input_type.fields_by_name)
        assert edited <= (set(PATHS) if method.name == "UpdateAttachment" else set())
    assert not {"content_type", "size_bytes", "checksums", "purpose"} & set(PATHS)
    before = await made(service, disposition=ATTACHMENT)
    request = pb.CreateDownloadUrlRequest(
        tenant_id=TENANT, attachment_id=before.attachment_id, disposition=INLINE
    )
    await service.attachments.CreateDownloadUrl(request, metadata=service.metadata)
    assert await get(service, before.attachment_id) == before


@pytest.mark.requirement("A2")
@pytest.mark.parametrize(
    ("size", "route"),
    [
        (1, "json"),
        (2_100_000, "json"),
        (2_100_001, "multipart"),
        (3_000_000, "multipart"),
        (24_000_000, "multipart"),
        (24_000_001, "upload_session"),
        (25_000_000, "upload_session"),
        (157_286_400, "upload_session"),
        (157_286_401, ""),
    ],
)
@pytest.mark.sample(3)
async def test_policy_returns_the_route_for_a_file_size(
    service: ServiceUnderTest, size: int, route: str
) -> None:
    request = GetUploadPolicyRequest(tenant_id=TENANT, size_bytes=size)
    answer = await service.uploads.GetUploadPolicy(request, metadata=service.metadata)
    assert answer.HasField("route") == bool(route)
    assert answer.route.name == route


@pytest.mark.requirement("A2")
def test_largest_file_of_the_json_route_fits_the_request_as_base64() -> None:
    largest = Policy().route_limit(DEFAULT_ROUTES[0])
    assert len(b64encode(bytes(largest))) <= 3_000_000 - 200_000


@pytest.mark.requirement("A3")
async def test_link_is_never_accepted_as_an_attachment(
    service: ServiceUnderTest,
) -> None:
    link = {"link": "https://drive.example/file"}
    started = await service.start(content_type="application/x-drive-link", metadata=link)
    attachment_id = started.session.attachment_id
    assert (await failure(service.complete(attachment_id))).reason == "OBJECT_NOT_UPLOADED"
    assert (await failure(get(service, attachment_id))).reason == "UPLOAD_NOT_READY"


@pytest.mark.requirement("A4")
async def test_metadata_contains_every_field_a_mail_needs(service: ServiceUnderTest) -> None:
    attachment = await made(
        service,
        body=b"x" * 4452,
        filename="nylas-logo.png",
        content_type='image/png; name="nylas-logo.png"',
        content_id="ii_123456789",
        disposition=ATTACHMENT,
        is_inline=True,
    )
    assert attachment.tenant_id == TENANT
    assert attachment.filename == "nylas-logo.png"
    assert attachment.content_type == 'image/png; name="nylas-logo.png"'
    assert attachment.content_id == "ii_123456789"
    assert attachment.content_disposition.startswith('attachment; filename="nylas-logo.png"')
    assert attachment.is_inline
    assert attachment.size_bytes == 4452
    assert await resolve(service, attachment.attachment_id) == [attachment]


@pytest.mark.requirement("A5")
async def test_id_alone_finds_an_attachment_within_its_tenant(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    assert set(pb.GetAttachmentRequest.DESCRIPTOR.fields_by_name) == {"tenant_id", "attachment_id"}
    assert (await get(service, attachment_id)).attachment_id == attachment_id


@pytest.mark.requirement("A6", "P4")
async def test_one_call_reads_many_attachments(
    service: ServiceUnderTest,
) -> None:
    ids = [await service.ready() for _ in range(3)]
    assert [found.attachment_id for found in await resolve(service, *ids)] == ids


@pytest.mark.requirement("A7")
async def test_ids_can_be_resolved_repeatedly(service: ServiceUnderTest) -> None:
    kept, removed = await service.ready(), await service.ready()
    first = await resolve(service, kept, removed)
    # A draft's list is replaced as a whole: once with both, then without one.
    for _ in range(2):
        assert await resolve(service, kept, removed) == first
        assert await resolve(service, kept) == first[:1]
    assert (await get(service, removed)).state != DELETED


@pytest.mark.requirement("A8")
@pytest.mark.parametrize(
    ("content_id", "disposition", "inline"),
    [("", UNSPECIFIED, False), ("logo", UNSPECIFIED, True), ("", INLINE, True)],
    ids=["neither", "content_id", "disposition"],
)
async def test_attachment_with_a_content_id_defaults_to_inline(
    service: ServiceUnderTest, content_id: str, disposition: int, inline: bool
) -> None:
    started = await service.start(content_id=content_id, disposition=disposition)
    assert started.session.is_inline == inline
    assert (started.session.disposition == INLINE) == inline


@pytest.mark.requirement("A9")
async def test_unreferenced_content_id_is_no_error(
    service: ServiceUnderTest,
) -> None:
    attachment = await made(service, content_id="7890bdnyl")
    assert (attachment.content_id, attachment.size_bytes) == ("7890bdnyl", 6)


@pytest.mark.requirement("A10", "A11")
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("123456hbd", "123456hbd"),
        ("ii_123456789", "ii_123456789"),
        ("<ce9b9547-9eeb-43b2-ac4e-58768bdf04e4>", "ce9b9547-9eeb-43b2-ac4e-58768bdf04e4"),
        ("<nylas-hbd.png>", "nylas-hbd.png"),
        ("<Part1.06090408@Example.COM>", "Part1.06090408@Example.COM"),
        ("a" * 128, "a" * 128),
    ],
    ids=["alphanumeric", "underscore", "uuid", "filename", "address", "longest"],
)
@pytest.mark.sample(2)
async def test_content_ids_lose_only_their_brackets(
    service: ServiceUnderTest, given: str, kept: str
) -> None:
    assert (await made(service, content_id=given)).content_id == kept


@pytest.mark.sample(3)
@pytest.mark.requirement("A12", "A13")
@pytest.mark.parametrize("content_id", ["", "logo"])
@pytest.mark.parametrize("disposition", [ATTACHMENT, INLINE])
@pytest.mark.parametrize("inline", [True, False])
async def test_inline_is_stored_as_declared_and_never_derived(
    service: ServiceUnderTest, content_id: str, disposition: int, inline: bool
) -> None:
    attachment = await made(
        service, content_id=content_id, disposition=disposition, is_inline=inline
    )
    assert attachment.is_inline == inline
    assert attachment.disposition == disposition
    shown = "inline" if disposition == INLINE else "attachment"
    assert attachment.content_disposition.partition(";")[0] == shown
    session = await service.get(attachment.attachment_id)
    assert (session.is_inline, session.disposition) == (inline, disposition)


@pytest.mark.requirement("A12")
async def test_sessions_of_the_previous_release_are_inline_by_their_disposition(
    service: ServiceUnderTest,
) -> None:
    inline = await service.ready(disposition=INLINE, is_inline=False)
    plain = await service.ready(is_inline=True)
    await service.database.execute("UPDATE upload_sessions SET is_inline = NULL")
    assert (await get(service, inline)).is_inline
    assert not (await get(service, plain)).is_inline


@pytest.mark.requirement("A14")
async def test_no_field_occurs_twice_in_a_response(service: ServiceUnderTest) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names))
        return dict(pairs)

    attachment = await made(service, content_id="<185e56cb50e12e82>")
    text = MessageToJson(attachment, preserving_proto_field_name=True)
    assert json.loads(text, object_pairs_hook=once)["content_id"] == "185e56cb50e12e82"
    assert attachment.SerializeToString().count(b"185e56cb50e12e82") == 1


@pytest.mark.requirement("A15")
async def test_ids_differ_from_content_ids_which_attachments_may_share(
    service: ServiceUnderTest,
) -> None:
    one, two = await made(service, content_id="logo"), await made(service, content_id="logo")
    assert one.content_id == two.content_id == "logo"
    assert len({one.attachment_id, two.attachment_id, "logo"}) == 3
