"""FakeAttachery behaves like Attachery: one suite of scenarios, run with both."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import uuid4

import pytest

from attachery.v1 import resources_pb2 as resources
from attachery.v1.resources_pb2 import UploadSessionState
from attachery.v1.upload_sessions_pb2 import StartUploadSessionResponse
from attachery_client import AttacheryClient, BatchItem, CallInfo, errors, from_status
from attachery_client.testing import FakeAttachery
from attachery_client.testing.failures import as_received
from attachery_service.domain import errors as service_errors
from attachery_service.rpc.status import to_status
from support.holding import end
from support.service_fixtures import ServiceUnderTest

TENANT = "acme"
BODY = b"hello\n"
KINDS = [
    member
    for member in vars(errors).values()
    if isinstance(member, type) and issubclass(member, errors.AttacheryError)
    if member is not errors.AttacheryError
]
SHA256 = hashlib.sha256(BODY).hexdigest()


class World(Protocol):
    """A client, and the actions of uploaders and of time."""

    @property
    def client(self) -> AttacheryClient: ...

    async def put(self, started: StartUploadSessionResponse, data: bytes) -> None: ...

    async def expire(self, attachment_id: str) -> None: ...

    async def end_hold(self, hold_id: str) -> None: ...


async def start(world: World, **own: Any) -> StartUploadSessionResponse:
    return await world.client.start_upload_session(
        **{"tenant_id": TENANT, "filename": "a.txt", "content_type": "text/plain", **own}
    )


async def started(world: World, data: bytes | None = None, **own: Any) -> str:
    """Returns the id of a PENDING session with uploaded bytes."""
    answer = await start(world, **own)
    if data is not None:
        await world.put(answer, data)
    return answer.session.attachment_id


async def ready(world: World) -> str:
    return (await world.client.upload(BODY, tenant_id=TENANT, filename="a.txt")).attachment_id


async def state(world: World, attachment_id: str) -> str:
    answer = await world.client.get_upload_session(attachment_id, tenant_id=TENANT)
    return UploadSessionState.Name(answer.session.state).removeprefix("UPLOAD_SESSION_STATE_")


class Scenarios:
    """The behaviour that both must have in common."""

    async def test_a_session_as_started(self, world: World) -> None:
        answer = await start(world, size_bytes=6, checksums={"sha256": SHA256}, metadata={"a": "b"})
        session = answer.session
        assert (session.tenant_id, session.filename, session.revision) == (TENANT, "a.txt", 1)
        assert session.state == resources.UPLOAD_SESSION_STATE_PENDING
        assert session.disposition == resources.DISPOSITION_ATTACHMENT
        assert session.purpose == "default"
        assert session.declared_size_bytes == 6
        assert session.declared_checksums.sha256 == SHA256
        assert session.max_size_bytes == 157_286_400
        assert session.metadata == {"a": "b"}
        assert session.expire_time.seconds - session.create_time.seconds == 3600
        assert answer.target.method == "PUT"

    async def test_a_name_is_normalized_or_refused(self, world: World) -> None:
        first = await start(world, filename="u\u0308\u200bber.txt", request_id="name")
        assert first.session.filename == "\u00fcber.txt"
        again = await start(world, filename="\u00fcber.txt", request_id="name")
        assert again.session.attachment_id == first.session.attachment_id
        for name in ("", "a/b", "\u202e", "a\nb", "\U0001f600" * 256):
            with pytest.raises(errors.InvalidRequest) as refused:
                await start(world, filename=name)
            assert refused.value.violations[0].reason == "INVALID_FILENAME"

    async def test_a_size_that_is_not_declared_needs_a_form(self, world: World) -> None:
        assert (await start(world)).target.method == "POST"

    async def test_a_dry_run_starts_nothing(self, world: World) -> None:
        answer = await start(world, validate_only=True)
        assert answer.session.attachment_id == ""
        assert not answer.HasField("target")

    async def test_no_size_below_one(self, world: World) -> None:
        with pytest.raises(errors.InvalidRequest) as caught:
            await world.client.upload(b"", tenant_id=TENANT, filename="empty")
        assert caught.value.reason == "SIZE_OUT_OF_RANGE"
        assert [v.field for v in caught.value.violations] == ["size_bytes"]

    async def test_an_upload_can_be_downloaded(self, world: World) -> None:
        attachment = await world.client.upload(BODY, tenant_id=TENANT, filename="a.txt")
        assert (attachment.size_bytes, attachment.checksums.sha256) == (6, SHA256)
        assert attachment.content_type == "text/plain"
        disposition = "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"
        assert attachment.content_disposition == disposition
        assert not attachment.is_inline
        assert attachment.state == resources.UPLOAD_SESSION_STATE_READY
        assert await world.client.download(attachment.attachment_id, tenant_id=TENANT) == BODY

    async def test_complete_answers_session_and_attachment(self, world: World) -> None:
        attachment_id = await started(world, BODY, size_bytes=6)
        answer = await world.client.complete_upload_session(attachment_id, tenant_id=TENANT)
        assert answer.session.state == resources.UPLOAD_SESSION_STATE_READY
        assert answer.session.size_bytes == answer.attachment.size_bytes == 6
        assert answer.session.revision == answer.attachment.revision == 2
        assert not answer.session.HasField("expire_time")
        assert answer.attachment.attachment_id == attachment_id

    async def test_the_next_step(self, world: World) -> None:
        client, begun = world.client, await start(world)
        attachment_id = begun.session.attachment_id
        complete = partial(client.complete_upload_session, attachment_id, tenant_id=TENANT)
        call = f"call CompleteUploadSession with attachment_id {attachment_id}"
        missing = await complete(validate_only=True)
        assert missing.next_step == f"Upload bytes that pass every check, then {call}."
        await world.put(begun, BODY)
        checked = await complete(validate_only=True)
        assert checked.next_step == f"Every check passed: {call} and without validate_only."
        done = await complete(request_id="r-1")
        assert done.next_step == (
            f"The attachment is ready: pass attachment_id {attachment_id} to ResolveAttachments "
            "to use it, or to CreateDownloadUrl to download it."
        )
        await client.delete_attachment(attachment_id, tenant_id=TENANT)
        assert (await complete(request_id="r-1")).next_step == (
            f"The bytes of {attachment_id} were deleted: call StartUploadSession to upload the "
            "file again."
        )

    async def test_an_item_of_a_batch_has_the_next_step_or_the_next_action(
        self, world: World
    ) -> None:
        good, empty = await started(world, BODY), await started(world)
        answer = await world.client.batch_complete_upload_sessions([good, empty], tenant_id=TENANT)
        assert f"attachment_id {good} " in answer.results[0].response.next_step
        failed = from_status(answer.results[1].status)
        assert failed is not None
        assert (failed.next_action, failed.retryable) == ("UPLOAD_BYTES", False)
        assert failed.help_url == "docs/errors.md#OBJECT_NOT_UPLOADED"
        assert failed.http_status == 422
        assert failed.request_id

    async def test_an_unknown_id(self, world: World) -> None:
        client, unknown = world.client, str(uuid4())
        for method in (
            client.complete_upload_session,
            client.cancel_upload_session,
            client.get_upload_session,
            client.get_attachment,
            client.create_download_url,
            client.delete_attachment,
        ):
            with pytest.raises(errors.AttachmentNotFound) as caught:
                await method(unknown, tenant_id=TENANT)
            assert caught.value.facts == {"attachmentId": unknown}

    async def test_complete_before_the_bytes(self, world: World) -> None:
        attachment_id = await started(world)
        with pytest.raises(errors.ObjectNotUploaded) as caught:
            await world.client.complete_upload_session(attachment_id, tenant_id=TENANT)
        found = await world.client.get_upload_session(attachment_id, tenant_id=TENANT)
        until = found.session.upload_url_expire_time.ToDatetime(UTC).isoformat()
        hint = "Repeat StartUploadSession with the same request_id."
        assert caught.value.facts == {"uploadUrlExpireTime": until, "newTarget": hint}
        assert caught.value.next_action == "UPLOAD_BYTES"
        assert await state(world, attachment_id) == "PENDING"

    async def test_another_size(self, world: World) -> None:
        attachment_id = await started(world, BODY)
        with pytest.raises(errors.SizeMismatch) as caught:
            await world.client.complete_upload_session(
                attachment_id, tenant_id=TENANT, size_bytes=7
            )
        assert caught.value.facts == {"expectedSize": "7", "actualSize": "6"}
        assert await state(world, attachment_id) == "FAILED"
        with pytest.raises(errors.UploadFailed):
            await world.client.complete_upload_session(attachment_id, tenant_id=TENANT)

    async def test_another_checksum(self, world: World) -> None:
        attachment_id = await started(world, BODY)
        other = "00" * 32
        with pytest.raises(errors.ChecksumMismatch) as caught:
            await world.client.complete_upload_session(
                attachment_id, tenant_id=TENANT, checksums={"sha256": other}
            )
        facts = {"algorithm": "sha256", "expected": other, "actual": SHA256}
        assert caught.value.facts == facts
        answer = await world.client.get_upload_session(attachment_id, tenant_id=TENANT)
        assert answer.session.failure.reason == "CHECKSUM_MISMATCH"

    async def test_a_ready_session_stays_ready(self, world: World) -> None:
        attachment_id = await ready(world)
        for method in (world.client.complete_upload_session, world.client.cancel_upload_session):
            with pytest.raises(errors.UploadAlreadyCompleted) as caught:
                await method(attachment_id, tenant_id=TENANT)
            assert caught.value.facts == {"state": "READY"}

    async def test_cancel(self, world: World) -> None:
        attachment_id = await started(world, BODY)
        for _ in range(2):
            answer = await world.client.cancel_upload_session(attachment_id, tenant_id=TENANT)
            assert answer.session.state == resources.UPLOAD_SESSION_STATE_CANCELLED
        for method in (world.client.complete_upload_session, world.client.get_attachment):
            with pytest.raises(errors.UploadCancelled):
                await method(attachment_id, tenant_id=TENANT)

    async def test_the_deadline(self, world: World) -> None:
        attachment_id = await started(world, BODY)
        await world.expire(attachment_id)
        assert await state(world, attachment_id) == "EXPIRED"
        for method in (world.client.complete_upload_session, world.client.cancel_upload_session):
            with pytest.raises(errors.UploadExpired):
                await method(attachment_id, tenant_id=TENANT)

    async def test_a_session_that_is_not_ready_is_no_attachment(self, world: World) -> None:
        attachment_id = await started(world)
        for method in (world.client.get_attachment, world.client.create_download_url):
            with pytest.raises(errors.UploadNotReady) as caught:
                await method(attachment_id, tenant_id=TENANT)
            assert caught.value.facts == {"state": "PENDING"}

    async def test_a_repeated_start_is_the_same_session(self, world: World) -> None:
        first = await started(world, request_id="once")
        again = await start(world, request_id="once")
        assert again.session.attachment_id == first
        assert again.HasField("target")
        with pytest.raises(errors.RequestIdReused) as caught:
            await start(world, request_id="once", filename="b.txt")
        assert caught.value.facts == {"field": "request_id"}
        assert caught.value.next_action == "RETRY_WITH_NEW_REQUEST_ID"
        await world.client.cancel_upload_session(first, tenant_id=TENANT)
        assert not (await start(world, request_id="once")).HasField("target")

    async def test_a_repeated_complete_has_the_same_outcome(self, world: World) -> None:
        good, bad = await started(world, BODY), await started(world, BODY)
        for _ in range(2):
            answer = await world.client.complete_upload_session(
                good, tenant_id=TENANT, request_id="good"
            )
            assert answer.attachment.attachment_id == good
            with pytest.raises(errors.SizeMismatch):
                await world.client.complete_upload_session(
                    bad, tenant_id=TENANT, request_id="bad", size_bytes=1
                )

    async def test_an_upload_can_be_repeated_as_a_whole(self, world: World) -> None:
        uploads = [
            await world.client.upload(BODY, tenant_id=TENANT, filename="a.txt", request_id="once")
            for _ in range(2)
        ]
        assert uploads[0] == uploads[1]

    async def test_the_newest_sessions_come_first_page_by_page(self, world: World) -> None:
        made = [await started(world) for _ in range(3)]
        await world.client.cancel_upload_session(made[1], tenant_id=TENANT)
        first = await world.client.list_upload_sessions(tenant_id=TENANT, page_size=2)
        rest = await world.client.list_upload_sessions(
            tenant_id=TENANT, page_size=2, page_token=first.next_page_token
        )
        found = [session.attachment_id for page in (first, rest) for session in page.sessions]
        assert found == made[::-1]
        assert not rest.next_page_token
        pending = await world.client.list_upload_sessions(tenant_id=TENANT, states=["pending"])
        assert [s.attachment_id for s in pending.sessions] == [made[2], made[0]]
        assert not pending.HasField("total_count")
        counted = await world.client.list_upload_sessions(
            tenant_id=TENANT, states=["pending"], page_size=1, include_total=True
        )
        assert (counted.total_count, counted.total_count_is_exact) == (2, True)

    async def test_the_policy_and_the_usage(self, world: World) -> None:
        before = await world.client.get_upload_policy(tenant_id=TENANT)
        await ready(world)
        await started(world)
        await started(world, size_bytes=6)
        await world.expire(await started(world, size_bytes=6))
        await world.client.cancel_upload_session(
            await started(world, size_bytes=6), tenant_id=TENANT
        )
        answer = await world.client.get_upload_policy(tenant_id=TENANT, purpose="default")
        assert answer.policy == before.policy
        assert answer.policy.max_size_bytes == 157_286_400
        assert answer.policy.default_ttl.ToTimedelta() == timedelta(hours=1)
        used = answer.usage
        assert (used.pending_sessions, used.stored_bytes) == (3, 6)
        assert used.pending_bytes == 157_286_400 + 12
        assert (used.attachments, used.purpose_attachments) == (4, 4)
        assert not used.HasField("max_pending_sessions")
        assert not used.HasField("max_attachments")
        assert not answer.policy.HasField("max_attachments")
        with pytest.raises(errors.InvalidRequest):
            await world.client.get_upload_policy(tenant_id=TENANT, purpose="unknown")

    async def test_an_audit_of_consistent_data(self, world: World) -> None:
        await ready(world)
        await started(world)
        answer = await world.client.audit_attachments(tenant_id=TENANT)
        assert (answer.sessions_seen, answer.objects_seen) == (2, 1)
        assert not answer.findings
        assert not answer.next_page_token

    async def test_the_route_of_a_file(self, world: World) -> None:
        for size, route in ((1, "json"), (3_000_000, "multipart"), (157_286_400, "upload_session")):
            answer = await world.client.get_upload_policy(tenant_id=TENANT, size=size)
            assert answer.route in answer.policy.routes
            assert answer.route.name == route
        for none in (None, 157_286_401):
            answer = await world.client.get_upload_policy(tenant_id=TENANT, size=none)
            assert not answer.HasField("route")
        with pytest.raises(errors.InvalidRequest) as caught:
            await world.client.get_upload_policy(tenant_id=TENANT, size=0)
        assert caught.value.reason == "SIZE_OUT_OF_RANGE"

    async def test_the_route_of_a_message(self, world: World) -> None:
        wanted = partial(world.client.get_upload_policy, tenant_id=TENANT)
        for sizes, base64, total, route in (
            ([2_000_000], False, 2_000_000, "json"),
            ([2_000_000], True, 2_666_668, "json"),
            ([2_000_000, 100_001], False, 2_100_001, "multipart"),
            ([18_000_000, 1], True, 24_000_004, "upload_session"),
            ([157_286_400] * 2, False, 314_572_800, "upload_session"),
            ([1, 157_286_401], False, 157_286_402, ""),
        ):
            answer = await wanted(sizes_bytes=sizes, base64=base64)
            assert (answer.total_size_bytes, answer.route.name) == (total, route)
        for wrong, reason in (([1] * 1001, "BATCH_TOO_LARGE"), ([1, -1], "SIZE_OUT_OF_RANGE")):
            with pytest.raises(errors.InvalidRequest) as caught:
                await wanted(sizes_bytes=wrong)
            assert caught.value.reason == reason

    async def test_the_clocks(self, world: World) -> None:
        for own, kept, remembered in (
            ({}, timedelta(hours=1), timedelta(days=60)),
            ({"object_retention": timedelta(minutes=1)}, timedelta(hours=1), timedelta(days=60)),
            (
                {"object_retention": timedelta(days=3), "metadata_retention": timedelta(days=1)},
                timedelta(days=3),
                timedelta(days=3),
            ),
        ):
            session = (await start(world, **own)).session
            created = session.create_time.ToDatetime()
            assert session.object_purge_time.ToDatetime() - created == kept
            assert session.metadata_purge_time.ToDatetime() - created == remembered

    async def test_a_session_shows_auto_complete(self, world: World) -> None:
        for wanted in (True, False):
            assert (await start(world, auto_complete=wanted)).session.auto_complete == wanted

    async def test_inline_is_explicit_or_follows_the_disposition(self, world: World) -> None:
        for own, inline in (
            ({}, False),
            ({"content_id": "a"}, True),
            ({"disposition": "inline"}, True),
            ({"content_id": "a", "is_inline": False}, False),
            ({"is_inline": True}, True),
        ):
            attachment = await world.client.upload(BODY, tenant_id=TENANT, filename="a", **own)
            assert attachment.is_inline == inline

    async def test_a_deleted_attachment(self, world: World) -> None:
        attachment_id, client = await ready(world), world.client
        for request_id in ("once", "once", None):
            answer = await client.delete_attachment(
                attachment_id, tenant_id=TENANT, request_id=request_id
            )
            assert answer.attachment.state == resources.UPLOAD_SESSION_STATE_DELETED
            assert answer.attachment.revision == 3
        with pytest.raises(errors.RequestIdReused):
            await client.delete_attachment(
                attachment_id, tenant_id=TENANT, request_id="once", force=True
            )
        found = (await client.get_attachment(attachment_id, tenant_id=TENANT)).attachment
        assert found == answer.attachment
        assert found.object_purge_time == found.update_time
        with pytest.raises(errors.ObjectPurged) as caught:
            await client.create_download_url(attachment_id, tenant_id=TENANT)
        assert list(caught.value.facts) == ["objectPurgeTime"]
        resolved = await client.resolve_attachments([attachment_id], tenant_id=TENANT)
        assert isinstance(from_status(resolved.results[0].status), errors.ObjectPurged)
        for method in (client.complete_upload_session, client.cancel_upload_session):
            with pytest.raises(errors.UploadAlreadyCompleted) as refused:
                await method(attachment_id, tenant_id=TENANT)
            assert refused.value.facts == {"state": "DELETED"}
        listed = await client.list_upload_sessions(tenant_id=TENANT, states=["deleted"])
        assert [s.attachment_id for s in listed.sessions] == [attachment_id]
        usage = (await client.get_upload_policy(tenant_id=TENANT)).usage
        assert (usage.pending_sessions, usage.stored_bytes) == (0, 0)
        assert (usage.attachments, usage.purpose_attachments) == (0, 0)

    async def test_an_updated_attachment(self, world: World) -> None:
        attachment_id, client = await ready(world), world.client
        for _ in range(2):
            updated = await client.update_attachment(
                attachment_id,
                tenant_id=TENANT,
                filename="u\u0308.txt",
                content_id="logo",
                metadata={"a": "1"},
                expected_revision=2,
                request_id="once",
            )
            found = (await client.get_attachment(attachment_id, tenant_id=TENANT)).attachment
            assert updated.attachment == found
            assert (found.filename, found.content_id, found.revision) == ("\u00fc.txt", "logo", 3)
            assert (dict(found.metadata), found.is_inline) == ({"a": "1"}, False)
            assert found.disposition == resources.DISPOSITION_ATTACHMENT
        with pytest.raises(errors.RequestIdReused):
            await client.update_attachment(
                attachment_id, tenant_id=TENANT, filename="b", request_id="once"
            )
        again = await client.update_attachment(
            attachment_id, tenant_id=TENANT, filename="\u00fc.txt"
        )
        assert again.attachment == found
        with pytest.raises(errors.RevisionMismatch) as caught:
            await client.update_attachment(
                attachment_id, tenant_id=TENANT, filename="b", expected_revision=2
            )
        assert caught.value.facts == {"expectedRevision": "2", "actualRevision": "3"}

    async def test_an_update_to_the_defaults(self, world: World) -> None:
        attachment_id, client = await ready(world), world.client
        inline = resources.DISPOSITION_INLINE
        for mask, own, expected in (
            (None, {"content_id": "a", "metadata": {"a": "1"}}, ("a", 1, False)),
            (["disposition", "is_inline"], {}, ("a", inline, True)),
            (None, {"disposition": "attachment", "is_inline": True}, ("a", 1, True)),
            (None, {"content_id": "", "metadata": {}}, ("", 1, True)),
            (["is_inline"], {}, ("", 1, False)),
        ):
            answer = await client.update_attachment(
                attachment_id, tenant_id=TENANT, update_mask=mask, **own
            )
            found = answer.attachment
            assert (found.content_id, found.disposition, found.is_inline) == expected
        assert not found.metadata

    async def test_an_updated_retention(self, world: World) -> None:
        attachment_id, client, day = await ready(world), world.client, timedelta(days=1)
        cases: tuple[tuple[list[str] | None, dict[str, Any], timedelta, timedelta], ...] = (
            (None, {"object_retention": 3 * day}, 3 * day, 60 * day),
            (None, {"metadata_retention": day}, 3 * day, 3 * day),
            (["object_retention"], {}, timedelta(hours=1), 3 * day),
            (["metadata_retention"], {}, timedelta(hours=1), 60 * day),
        )
        for mask, own, kept, remembered in cases:
            answer = await client.update_attachment(
                attachment_id, tenant_id=TENANT, update_mask=mask, **own
            )
            created = answer.attachment.create_time.ToDatetime()
            assert answer.attachment.object_purge_time.ToDatetime() - created == kept
            assert answer.attachment.metadata_purge_time.ToDatetime() - created == remembered
        held = await client.resolve_attachments(
            [attachment_id], tenant_id=TENANT, hold_ttl=timedelta(days=5)
        )
        answer = await client.update_attachment(
            attachment_id, tenant_id=TENANT, object_retention=day, metadata_retention=day
        )
        assert answer.attachment.object_purge_time == held.hold.expire_time
        assert answer.attachment.metadata_purge_time == held.hold.expire_time
        released = await client.release_hold(held.hold.hold_id, tenant_id=TENANT)
        assert released.hold.HasField("release_time")
        found = (await client.get_attachment(attachment_id, tenant_id=TENANT)).attachment
        assert found.object_purge_time.ToDatetime() - found.create_time.ToDatetime() == day

    async def test_an_update_that_is_refused(self, world: World) -> None:
        attachment_id, pending, client = await ready(world), await started(world), world.client
        for mask, own, violation in (
            ([], {}, ("update_mask", "INVALID_UPDATE_MASK")),
            (None, {}, ("update_mask", "INVALID_UPDATE_MASK")),
            (["*"], {}, ("update_mask", "INVALID_UPDATE_MASK")),
            (["content_type"], {}, ("update_mask", "INVALID_UPDATE_MASK")),
            (["filename", "filename"], {"filename": "b"}, ("update_mask", "INVALID_UPDATE_MASK")),
            (["metadata"], {"filename": "b"}, ("filename", "INVALID_UPDATE_MASK")),
            (None, {"filename": "a/b"}, ("filename", "INVALID_FILENAME")),
            (["filename"], {}, ("filename", "INVALID_FILENAME")),
            (
                None,
                {"filename": "b", "expected_revision": 0},
                ("expected_revision", "INVALID_REVISION"),
            ),
        ):
            with pytest.raises(errors.InvalidRequest) as caught:
                await client.update_attachment(
                    attachment_id, tenant_id=TENANT, update_mask=mask, **own
                )
            assert [(v.field, v.reason) for v in caught.value.violations] == [violation]
        with pytest.raises(errors.UploadNotReady):
            await client.update_attachment(pending, tenant_id=TENANT, filename="b")
        await client.delete_attachment(attachment_id, tenant_id=TENANT)
        with pytest.raises(errors.ObjectPurged):
            await client.update_attachment(attachment_id, tenant_id=TENANT, filename="b")

    async def test_sessions_that_cannot_be_deleted(self, world: World) -> None:
        pending, cancelled = await started(world), await started(world)
        await world.client.cancel_upload_session(cancelled, tenant_id=TENANT)
        for attachment_id, error in (
            (pending, errors.UploadNotReady),
            (cancelled, errors.UploadCancelled),
        ):
            with pytest.raises(error):
                await world.client.delete_attachment(attachment_id, tenant_id=TENANT)

    async def test_a_batch_answers_for_each_item(self, world: World) -> None:
        good, bad, missing = await self._batch_of_three(world)
        items: list[str | BatchItem] = [missing, bad, str(uuid4()), good, await ready(world)]
        kinds = [
            errors.ObjectNotUploaded,
            errors.SizeMismatch,
            errors.AttachmentNotFound,
            type(None),
            errors.UploadAlreadyCompleted,
        ]
        for _ in range(2):
            answer = await world.client.batch_complete_upload_sessions(
                items, tenant_id=TENANT, request_id="once"
            )
            assert [type(from_status(result.status)) for result in answer.results] == kinds
            assert answer.results[3].response.session.revision == 2
            assert answer.results[3].response.attachment.attachment_id == good
            assert not answer.results[0].HasField("response")
        for some, atomic in ((items[3:], False), (items, True), (items[:1], False)):
            with pytest.raises(errors.RequestIdReused):
                await world.client.batch_complete_upload_sessions(
                    some, tenant_id=TENANT, atomic=atomic, request_id="once"
                )

    async def test_an_atomic_batch(self, world: World) -> None:
        good, bad, missing = await self._batch_of_three(world)
        for _ in range(2):
            answer = await world.client.batch_complete_upload_sessions(
                [good, bad, missing], tenant_id=TENANT, atomic=True, request_id="once"
            )
            kinds = [type(from_status(result.status)) for result in answer.results]
            assert kinds == [errors.BatchAborted, errors.SizeMismatch, errors.ObjectNotUploaded]
            found = [await state(world, i) for i in (good, bad.attachment_id, missing)]
            assert found == ["PENDING", "FAILED", "PENDING"]
        for _ in range(2):
            answer = await world.client.batch_complete_upload_sessions(
                [good], tenant_id=TENANT, atomic=True, request_id="another"
            )
            assert from_status(answer.results[0].status) is None

    async def _batch_of_three(self, world: World) -> tuple[str, BatchItem, str]:
        """Sessions with valid bytes, with too few bytes, and without any."""
        good, bad = await started(world, BODY), await started(world, BODY)
        return good, BatchItem(bad, size_bytes=7), await started(world)

    async def test_an_invalid_batch(self, world: World) -> None:
        attachment_id = await started(world, BODY)
        many = [str(uuid4()) for _ in range(101)]
        for items, reason in (
            ([], "INVALID_ITEMS"),
            (many, "BATCH_TOO_LARGE"),
            ([attachment_id, attachment_id], "DUPLICATE_ATTACHMENT_ID"),
        ):
            with pytest.raises(errors.InvalidRequest) as caught:
                await world.client.batch_complete_upload_sessions(items, tenant_id=TENANT)
            assert caught.value.reason == reason
            assert caught.value.violations[0].reason == reason
        assert await state(world, attachment_id) == "PENDING"

    async def test_resolve(self, world: World) -> None:
        ids = [await ready(world), await started(world), str(uuid4())]
        answer = await world.client.resolve_attachments(
            [*ids, ids[0]], tenant_id=TENANT, include_download_urls=True
        )
        assert [result.attachment_id for result in answer.results] == [*ids, ids[0]]
        kinds = [type(from_status(result.status)) for result in answer.results]
        assert kinds == [
            type(None),
            errors.UploadNotReady,
            errors.AttachmentNotFound,
            type(None),
        ]
        assert answer.results[0].attachment.size_bytes == 6
        assert answer.results[0].download.url
        assert not answer.results[1].HasField("attachment")

    async def test_resolve_all_or_nothing(self, world: World) -> None:
        ids = [await ready(world), str(uuid4())]
        answer = await world.client.resolve_attachments(ids, tenant_id=TENANT, all_or_nothing=True)
        kinds = [type(from_status(result.status)) for result in answer.results]
        assert kinds == [errors.BatchAborted, errors.AttachmentNotFound]
        assert not answer.results[0].HasField("attachment")
        with pytest.raises(errors.InvalidRequest):
            await world.client.resolve_attachments([], tenant_id=TENANT)

    async def test_a_hold(self, world: World) -> None:
        client, ids = world.client, [await ready(world), await ready(world)]
        first = await client.resolve_attachments(
            [ids[0], ids[0], str(uuid4())],
            tenant_id=TENANT,
            hold_ttl=timedelta(hours=2),
            hold_owner="job",
        )
        hold = first.hold
        assert (hold.tenant_id, hold.owner, hold.attachment_count) == (TENANT, "job", 1)
        assert hold.expire_time.seconds - hold.create_time.seconds == 7200
        assert first.results[0].attachment.object_purge_time == hold.expire_time
        again = await client.resolve_attachments(
            ids, tenant_id=TENANT, hold_ttl=timedelta(minutes=1), hold_owner="job"
        )
        assert (again.hold.hold_id, again.hold.attachment_count) == (hold.hold_id, 2)
        assert again.hold.expire_time == hold.expire_time
        extended = await client.extend_hold(hold.hold_id, tenant_id=TENANT, ttl=timedelta(days=3))
        assert 0 <= timedelta(days=3).total_seconds() - extended.hold.ttl.seconds <= 60
        for attachment_id in ids:
            found = (await client.get_attachment(attachment_id, tenant_id=TENANT)).attachment
            assert found.object_purge_time == extended.hold.expire_time
        released = await client.release_hold(hold.hold_id, tenant_id=TENANT, consumed=True)
        assert released.hold.consumed
        assert released.hold.HasField("release_time")
        assert released.hold.ttl.ToTimedelta() == timedelta()
        assert await client.release_hold(hold.hold_id, tenant_id=TENANT) == released
        found = (await client.get_attachment(ids[0], tenant_id=TENANT)).attachment
        assert found.object_purge_time.seconds < hold.expire_time.seconds
        assert await state(world, ids[0]) == "READY"

    async def test_a_hold_without_an_owner_is_always_new(self, world: World) -> None:
        attachment_id = await ready(world)
        answers = [
            await world.client.resolve_attachments(
                [attachment_id], tenant_id=TENANT, hold_ttl=timedelta(minutes=1)
            )
            for _ in range(2)
        ]
        assert len({answer.hold.hold_id for answer in answers}) == 2
        assert all(answer.hold.owner for answer in answers)

    async def test_attachments_that_cannot_be_held(self, world: World) -> None:
        client, attachment_id = world.client, await ready(world)
        for ids, all_or_nothing in (([str(uuid4())], False), ([attachment_id, "x"], True)):
            answer = await client.resolve_attachments(
                ids,
                tenant_id=TENANT,
                hold_ttl=timedelta(minutes=1),
                all_or_nothing=all_or_nothing,
            )
            assert not answer.HasField("hold")
        for own, reason in (
            ({"hold_ttl": timedelta(days=8)}, "INVALID_HOLD_TTL"),
            ({"hold_owner": "job"}, "INVALID_HOLD_OWNER"),
        ):
            with pytest.raises(errors.InvalidRequest) as caught:
                await client.resolve_attachments([attachment_id], tenant_id=TENANT, **own)
            assert caught.value.reason == reason

    async def test_a_hold_that_has_ended(self, world: World) -> None:
        client, attachment_id, minute = world.client, await ready(world), timedelta(minutes=1)
        held = await client.resolve_attachments([attachment_id], tenant_id=TENANT, hold_ttl=minute)
        await world.end_hold(held.hold.hold_id)
        with pytest.raises(errors.HoldExpired):
            await client.extend_hold(held.hold.hold_id, tenant_id=TENANT, ttl=minute)
        await client.release_hold(held.hold.hold_id, tenant_id=TENANT)
        with pytest.raises(errors.HoldReleased):
            await client.extend_hold(held.hold.hold_id, tenant_id=TENANT, ttl=minute)
        unknown = str(uuid4())
        for call in (
            client.extend_hold(unknown, tenant_id=TENANT, ttl=minute),
            client.release_hold(unknown, tenant_id=TENANT),
        ):
            with pytest.raises(errors.HoldNotFound) as caught:
                await call
            assert caught.value.facts == {"holdId": unknown}

    async def test_a_hold_is_replaced_as_a_set(self, world: World) -> None:
        client, ids = world.client, sorted([await ready(world) for _ in range(3)])

        async def replace(*attachment_ids: str) -> Any:
            return await client.resolve_attachments(
                attachment_ids,
                tenant_id=TENANT,
                hold_ttl=timedelta(hours=9) if attachment_ids else None,
                hold_owner="draft",
                hold_mode="replace",
            )

        first = (await replace(*ids)).hold
        assert (await client.get_hold(hold_owner="draft", tenant_id=TENANT)).attachment_ids == ids
        refused = await replace(ids[0], "x")
        assert not refused.HasField("hold")
        assert isinstance(from_status(refused.results[0].status), errors.BatchAborted)
        kept = (await replace(ids[1])).hold
        assert (kept.hold_id, kept.attachment_count) == (first.hold_id, 1)
        assert (await client.get_hold(first.hold_id, tenant_id=TENANT)).attachment_ids == ids[1:2]
        freed = (await client.get_attachment(ids[0], tenant_id=TENANT)).attachment
        held = (await client.get_attachment(ids[1], tenant_id=TENANT)).attachment
        assert freed.object_purge_time.seconds < held.object_purge_time.seconds
        assert held.object_purge_time == kept.expire_time
        released = (await replace()).hold
        assert released.hold_id == first.hold_id
        assert released.HasField("release_time")
        assert not (await replace()).HasField("hold")
        assert not (await client.get_hold(first.hold_id, tenant_id=TENANT)).attachment_ids
        incomplete: list[dict[str, Any]] = [
            {"hold_ttl": timedelta(hours=1)},
            {"hold_owner": "draft"},
        ]
        for own in incomplete:
            with pytest.raises(errors.InvalidRequest):
                await client.resolve_attachments(ids, tenant_id=TENANT, hold_mode="replace", **own)
        with pytest.raises(ValueError, match="hold_mode"):
            await client.resolve_attachments(
                ids,
                tenant_id=TENANT,
                hold_mode="set",  # type: ignore[arg-type]
            )

    async def test_holds_by_owner_and_on_an_attachment(self, world: World) -> None:
        client, ids = world.client, sorted([await ready(world), await ready(world)])

        async def take(owner: str, attachment_ids: list[str]) -> str:
            answer = await client.resolve_attachments(
                attachment_ids, tenant_id=TENANT, hold_ttl=timedelta(hours=2), hold_owner=owner
            )
            return answer.hold.hold_id

        async def found(**wanted: Any) -> list[str]:
            answer = await client.list_holds(tenant_id=TENANT, **wanted)
            return [hold.hold_id for hold in answer.holds]

        one, two = await take("one", ids), await take("two", ids[:1])
        assert await found(hold_owner="one") == [one]
        assert await found(attachment_id=ids[0]) == [one, two]
        assert await found(hold_owner="two", attachment_id=ids[1]) == []
        page = await client.list_holds(attachment_id=ids[0], tenant_id=TENANT, page_size=1)
        rest = await found(attachment_id=ids[0], page_token=page.next_page_token)
        assert ([hold.hold_id for hold in page.holds], rest) == ([one], [two])
        part = await client.get_hold(one, tenant_id=TENANT, page_size=1)
        rest_of_ids = await client.get_hold(one, tenant_id=TENANT, page_token=part.next_page_token)
        assert [*part.attachment_ids, *rest_of_ids.attachment_ids] == ids
        assert not rest_of_ids.next_page_token

        later = await client.extend_hold(hold_owner="one", tenant_id=TENANT, ttl=timedelta(days=3))
        assert later.hold.hold_id == one
        await world.end_hold(two)
        await client.release_hold(hold_owner="one", tenant_id=TENANT)
        for owner in ("one", "two", "three"):
            for call in (
                client.get_hold(hold_owner=owner, tenant_id=TENANT),
                client.extend_hold(hold_owner=owner, tenant_id=TENANT, ttl=timedelta(days=3)),
                client.release_hold(hold_owner=owner, tenant_id=TENANT),
            ):
                with pytest.raises(errors.HoldNotFound) as missing:
                    await call
                assert missing.value.facts == {"holdOwner": owner}
        assert await found(attachment_id=ids[0]) == []

    async def test_a_hold_has_one_name_in_a_request(self, world: World) -> None:
        client, hold_id = world.client, str(uuid4())
        for call, field in (
            (client.get_hold(tenant_id=TENANT), "hold_id"),
            (client.get_hold(hold_id, hold_owner="job", tenant_id=TENANT), "hold_owner"),
            (client.release_hold(tenant_id=TENANT), "hold_id"),
            (client.list_holds(tenant_id=TENANT), "hold_owner"),
        ):
            with pytest.raises(errors.InvalidRequest) as refused:
                await call
            assert [v.field for v in refused.value.violations] == [field]

    async def test_a_held_attachment_is_deleted_by_force_only(self, world: World) -> None:
        attachment_id = await ready(world)
        held = await world.client.resolve_attachments(
            [attachment_id], tenant_id=TENANT, hold_ttl=timedelta(minutes=1)
        )
        with pytest.raises(errors.AttachmentHeld) as caught:
            await world.client.delete_attachment(attachment_id, tenant_id=TENANT)
        ends = held.hold.expire_time.ToDatetime(UTC)
        assert caught.value.facts == {"holdEndTime": ends.isoformat()}
        await world.client.delete_attachment(attachment_id, tenant_id=TENANT, force=True)
        assert await state(world, attachment_id) == "DELETED"

    async def test_the_caller_and_its_tenant(self, world: World) -> None:
        client = world.client
        caller = await client.get_caller()
        assert (list(caller.tenant_ids), caller.all_tenants) == ([TENANT], False)
        assert {"uploads.create", "attachments.read"} <= set(caller.scopes)
        assert not caller.HasField("expire_time")
        attachment = await client.upload(BODY, filename="a.txt", request_id="once")
        assert attachment.tenant_id == TENANT
        again = await client.upload(BODY, tenant_id=TENANT, filename="a.txt", request_id="once")
        assert again == attachment
        with pytest.raises(errors.TenantDenied):
            await client.get_attachment(attachment.attachment_id, tenant_id="other")

    async def test_connection_tokens(self, world: World) -> None:
        client = world.client
        created = await client.create_connection_token(subject="visitor-1", purposes=["default"])
        assert created.token.startswith("attc_")
        assert created.ttl.ToTimedelta() == timedelta(hours=1)
        revoked = await client.revoke_connection_tokens(subject="visitor-1")
        assert revoked.revoke_time.seconds <= created.expire_time.seconds
        for own, reason in (
            ({"subject": "a b"}, "INVALID_SUBJECT"),
            ({"ttl": timedelta(seconds=59)}, "INVALID_TTL"),
            ({"purposes": ["unknown"]}, "INVALID_PURPOSES"),
            ({"purposes": []}, "INVALID_PURPOSES"),
            ({"scopes": ["admin"]}, "INVALID_SCOPES"),
        ):
            fields: dict[str, Any] = {"subject": "v", "purposes": ["default"], **own}
            with pytest.raises(errors.InvalidRequest) as caught:
                await client.create_connection_token(**fields)
            assert caught.value.reason == reason

    async def test_a_client_that_is_left_refuses_every_call(self, world: World) -> None:
        attachment_id = await ready(world)
        client = world.client
        await client.close()
        with pytest.raises(RuntimeError, match="async with"):
            await client.get_attachment(attachment_id, tenant_id=TENANT)
        with pytest.raises(RuntimeError, match="async with"):
            await client.upload(BODY, tenant_id=TENANT, filename="a.txt")
        with pytest.raises(RuntimeError, match="async with"):
            await client.download(attachment_id, tenant_id=TENANT)

    async def test_an_exception_has_all_that_the_service_sends(self, world: World) -> None:
        unknown, pending = str(uuid4()), await started(world)
        expired = await started(world)
        await world.expire(expired)
        wrong = await started(world, b"wrong")
        calls = {
            404: world.client.get_attachment(unknown, tenant_id=TENANT),
            409: world.client.get_attachment(pending, tenant_id=TENANT),
            410: world.client.complete_upload_session(expired, tenant_id=TENANT),
            422: world.client.complete_upload_session(
                wrong, tenant_id=TENANT, checksums={"sha256": SHA256}
            ),
            400: world.client.resolve_attachments([], tenant_id=TENANT),
        }
        for http_status, call in calls.items():
            with pytest.raises(errors.AttacheryError) as caught:
                await call
            assert caught.value.http_status == http_status
            assert caught.value.request_id
            assert caught.value.retry_after is None

    async def test_a_bound_client_reports_its_calls(self, world: World) -> None:
        calls, unknown = list[CallInfo](), str(uuid4())
        bound = world.client.bound(metadata={"x-request-id": "job-1"}, on_call=calls.append)
        uploaded = await bound.upload(BODY, tenant_id=TENANT, filename="a.txt")
        with pytest.raises(errors.AttachmentNotFound) as caught:
            await bound.get_attachment(unknown, tenant_id=TENANT)
        await world.client.get_attachment(uploaded.attachment_id, tenant_id=TENANT)
        assert [(call.method, call.reason) for call in calls] == [
            ("StartUploadSession", ""),
            ("CompleteUploadSession", ""),
            ("GetAttachment", "ATTACHMENT_NOT_FOUND"),
        ]
        assert {(call.request_id, call.attempts) for call in calls} == {("job-1", 1)}
        assert (caught.value.request_id, caught.value.attempts) == ("job-1", 1)
        assert calls[2].code is caught.value.code

    async def test_a_key_is_fetched_for_each_call(self, world: World) -> None:
        failing = world.client.bound(api_key=lambda: 1 / 0)  # type: ignore[arg-type,return-value]
        with pytest.raises(ZeroDivisionError):
            await failing.get_attachment(str(uuid4()), tenant_id=TENANT)
        with pytest.raises(ValueError, match="printable ASCII"):
            await world.client.bound(api_key=lambda: "a b").get_attachment("", tenant_id=TENANT)


class FakeWorld:
    def __init__(self) -> None:
        self.client = FakeAttachery(tenant_id=TENANT)

    async def put(self, started: StartUploadSessionResponse, data: bytes) -> None:
        self.client.put(started.session.attachment_id, data)

    async def expire(self, attachment_id: str) -> None:
        self.client.expire(attachment_id)

    async def end_hold(self, hold_id: str) -> None:
        self.client.end_hold(hold_id)


class RealWorld:
    def __init__(self, service: ServiceUnderTest, client: AttacheryClient) -> None:
        self.service = service
        self.client = client

    async def put(self, started: StartUploadSessionResponse, data: bytes) -> None:
        assert await self.service.send(started.target, data) < 300

    async def expire(self, attachment_id: str) -> None:
        await self.service.age(attachment_id, timedelta(hours=2))

    async def end_hold(self, hold_id: str) -> None:
        await end(self.service, hold_id)


class TestFake(Scenarios):
    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        world = FakeWorld()
        async with world.client:
            yield world


class TestReal(Scenarios):
    @pytest.fixture
    def world(self, service: ServiceUnderTest, client: AttacheryClient) -> World:
        return RealWorld(service, client)


@pytest.mark.parametrize("kind", [FakeAttachery, AttacheryClient])
async def test_a_client_that_is_not_entered_refuses_every_call(
    kind: type[AttacheryClient],
) -> None:
    client = kind("127.0.0.1:1", api_key="k") if kind is AttacheryClient else FakeAttachery()
    with pytest.raises(RuntimeError, match="async with"):
        await client.get_attachment("x", tenant_id=TENANT)
    with pytest.raises(RuntimeError, match="async with"):
        await client.upload(BODY, tenant_id=TENANT, filename="a.txt")
    with pytest.raises(RuntimeError, match="async with"):
        await client.download("x", tenant_id=TENANT)


@pytest.mark.sample(10)
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_is_as_the_service_sends_it(kind: type[errors.AttacheryError]) -> None:
    sent = from_status(to_status(getattr(service_errors, kind.__name__)(), "r1"))
    assert sent is not None
    simulated = as_received(kind())
    assert (simulated.code, simulated.http_status) == (sent.code, sent.http_status)
    assert (simulated.retry_after is None) == (sent.retry_after is None)
    assert simulated.retryable == sent.retryable
    if vars(kind).get("reason"):
        assert (simulated.next_action, simulated.help_url) == (sent.next_action, sent.help_url)


def test_the_methods_take_the_same_arguments() -> None:
    for name, method in inspect.getmembers(AttacheryClient, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(FakeAttachery, name)) == inspect.signature(method)
