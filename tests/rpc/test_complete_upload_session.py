"""CompleteUploadSession: READY only if the upload matches the declaration."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from attachery.v1 import attachments_pb2
from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import VerificationCheck
from attachery_service.domain.checks import StoredObject
from attachery_service.s3.objects import S3ObjectStore
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

BODY = b"hello\n"
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
CRC32C = "353dd8be"
CRC64NVME = "6a43fb4bad5a5607"
READY = pb.UPLOAD_SESSION_STATE_READY
PENDING = pb.UPLOAD_SESSION_STATE_PENDING
FAILED = pb.UPLOAD_SESSION_STATE_FAILED


async def uploaded(service: ServiceUnderTest, body: bytes = BODY, **fields: Any) -> str:
    """Returns the id of a session with uploaded bytes."""
    started = await service.start(**{"size_bytes": len(body), **fields})
    assert await service.send(started.target, body) < 300
    return started.session.attachment_id


async def replace_object(service: ServiceUnderTest, body: bytes, **headers: Any) -> str:
    """Changes the object with the owner's credentials, as no URL can."""
    (key,) = await service.keys_in_store()
    await service.s3.put_object(
        Bucket=service.bucket, Key=key, Body=body, **{"ContentType": "text/plain", **headers}
    )
    return key


@pytest.mark.requirement("N4", "L1", "L3", "P3", "P6")
async def test_success_is_always_ready_and_returns_the_whole_attachment(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service, filename="hello.txt")
    completed = await service.complete(attachment_id)
    assert completed.session.state == READY
    attachment = completed.attachment
    assert attachment.attachment_id == attachment_id
    assert attachment.tenant_id == TENANT
    assert attachment.state == READY
    assert attachment.filename == "hello.txt"
    assert attachment.content_type == "text/plain"
    assert attachment.size_bytes == len(BODY)
    assert attachment.checksums.md5 == MD5
    assert attachment.content_disposition == (
        "attachment; filename=\"hello.txt\"; filename*=UTF-8''hello.txt"
    )
    assert attachment.HasField("create_time")
    assert attachment.HasField("object_purge_time")
    assert await service.events(attachment_id) == ["pending", "ready"]


@pytest.mark.requirement("N15")
async def test_session_id_is_the_attachment_id(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    request = attachments_pb2.ResolveAttachmentsRequest(
        tenant_id=TENANT, attachment_ids=[attachment_id]
    )
    resolved = await service.attachments.ResolveAttachments(request, metadata=service.metadata)
    assert resolved.results[0].attachment.attachment_id == attachment_id


@pytest.mark.requirement("L4", "L5")
async def test_ready_session_has_a_completion_time_and_no_deadline(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    before = await service.get(attachment_id)
    assert before.HasField("expire_time")
    assert not before.HasField("complete_time")
    after = (await service.complete(attachment_id)).session
    assert not after.HasField("expire_time")
    assert after.HasField("complete_time")
    assert after.revision == before.revision + 1


@pytest.mark.requirement("N2", "N9", "N12")
async def test_missing_object_leaves_the_session_pending_and_completable(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    refused = await failure(service.complete(attachment_id, request_id="r-1"))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "OBJECT_NOT_UPLOADED"
    assert refused.next_action == "UPLOAD_BYTES"
    assert refused.facts["httpStatus"] == "422"
    assert (await service.get(attachment_id)).state == PENDING
    await service.send(started.target, BODY)
    # The same request id: only final outcomes are stored.
    assert (await service.complete(attachment_id, request_id="r-1")).session.state == READY


@pytest.mark.requirement("N3", "N10", "P3")
async def test_size_mismatch_fails_the_session_and_deletes_the_bytes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    await replace_object(service, BODY + b"!")
    refused = await failure(service.complete(attachment_id))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "SIZE_MISMATCH"
    assert refused.facts == {"expectedSize": "6", "actualSize": "7", "httpStatus": "422"}
    session = await service.get(attachment_id)
    assert session.state == FAILED
    assert session.failure.reason == "SIZE_MISMATCH"
    assert dict(session.failure.metadata) == {"expectedSize": "6", "actualSize": "7"}
    assert await service.events(attachment_id) == ["pending", "failed"]
    await service.app.background.drain(5)
    assert await service.keys_in_store() == set()


@pytest.mark.requirement("N11")
async def test_empty_object_without_a_declared_size_fails(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service, size_bytes=None)
    await replace_object(service, b"")
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "EMPTY_OBJECT"
    assert (await service.get(attachment_id)).state == FAILED


@pytest.mark.requirement("N11")
async def test_empty_object_with_a_declared_size_is_a_size_mismatch(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    await replace_object(service, b"")
    assert (await failure(service.complete(attachment_id))).reason == "SIZE_MISMATCH"


async def test_an_object_above_the_policys_maximum_fails(make_service: MakeService) -> None:
    service = await make_service(max_size=10)
    attachment_id = await uploaded(service, size_bytes=None)
    await replace_object(service, b"x" * 11)
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "OBJECT_TOO_LARGE"
    assert refused.facts["maxSize"] == "10"
    assert refused.facts["actualSize"] == "11"


@pytest.mark.sample(2)
@pytest.mark.requirement("L2")
@pytest.mark.parametrize(
    ("algorithm", "right"),
    [("md5", MD5), ("sha256", SHA256), ("crc32c", CRC32C), ("crc64nvme", CRC64NVME)],
)
@pytest.mark.parametrize("moment", ["start", "complete"])
async def test_checksum_of_start_or_complete_is_verified_before_ready(
    service: ServiceUnderTest, algorithm: str, right: str, moment: str
) -> None:
    declared: dict[str, Any] = {"checksums": {algorithm: right}}
    attachment_id = await uploaded(service, **(declared if moment == "start" else {}))
    completed = await service.complete(attachment_id, **(declared if moment == "complete" else {}))
    kind = VerificationCheck.Kind.Value(f"KIND_{algorithm.upper()}")
    (check,) = [c for c in completed.checks if c.kind == kind]
    assert check.outcome == VerificationCheck.OUTCOME_PASSED
    assert check.actual == right
    assert getattr(completed.attachment.checksums, algorithm) == right


@pytest.mark.requirement("L2")
@pytest.mark.parametrize(
    ("algorithm", "digits"), [("md5", 32), ("sha256", 64), ("crc32c", 8), ("crc64nvme", 16)]
)
async def test_wrong_checksum_never_becomes_ready(
    service: ServiceUnderTest, algorithm: str, digits: int
) -> None:
    attachment_id = await uploaded(service)
    wrong = "0" * digits
    refused = await failure(service.complete(attachment_id, checksums={algorithm: wrong}))
    assert refused.reason == "CHECKSUM_MISMATCH"
    assert refused.facts["algorithm"] == algorithm
    assert refused.facts["expected"] == wrong
    assert refused.facts["actual"] not in ("", wrong)
    assert (await service.get(attachment_id)).state == FAILED


async def test_a_checksum_of_start_is_verified_against_replaced_bytes(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service, checksums={"sha256": SHA256})
    await replace_object(service, b"HELLO\n")
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "CHECKSUM_MISMATCH"
    assert refused.facts["actual"] == hashlib.sha256(b"HELLO\n").hexdigest()


async def test_two_digests_that_contradict_each_other_fail(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service, checksums={"md5": MD5})
    refused = await failure(service.complete(attachment_id, checksums={"md5": "0" * 32}))
    assert refused.reason == "CHECKSUM_MISMATCH"


async def test_a_size_given_at_complete_is_verified_too(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service, size_bytes=None)
    refused = await failure(service.complete(attachment_id, size_bytes=5))
    assert refused.reason == "SIZE_MISMATCH"


async def test_another_stored_type_than_declared_fails(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service)
    await replace_object(service, BODY, ContentType="text/html")
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "CONTENT_TYPE_MISMATCH"
    assert refused.facts["expectedContentType"] == "text/plain"
    assert refused.facts["actualContentType"] == "text/html"


async def test_an_object_stored_under_a_content_encoding_fails(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service)
    await replace_object(service, BODY, ContentEncoding="gzip")
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "CONTENT_TYPE_MISMATCH"
    assert refused.facts["actualContentType"] == "text/plain with Content-Encoding gzip"


async def test_long_headers_of_uploaders_are_truncated_in_errors(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    await replace_object(service, BODY, ContentEncoding="x" * 4000)
    refused = await failure(service.complete(attachment_id))
    assert refused.facts["actualContentType"] == f"text/plain with Content-Encoding {'x' * 64}"


PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + b"\x00" * 17


async def test_the_type_the_first_bytes_speak_for_is_reported_by_default(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service, PNG, content_type="application/pdf")
    completed = await service.complete(attachment_id)
    assert completed.attachment.detected_content_type == "image/png"
    assert completed.attachment.content_type == "application/pdf"
    assert completed.checks[-1].kind == VerificationCheck.KIND_DETECTED_CONTENT_TYPE
    assert completed.checks[-1].outcome == VerificationCheck.OUTCOME_REPORTED


@pytest.mark.requirement("P2")
async def test_the_type_the_first_bytes_speak_for_is_enforced_where_the_policy_says_so(
    make_service: MakeService,
) -> None:
    service = await make_service(sniffing="enforce")
    right = await uploaded(service, PNG, content_type="image/png")
    assert (await service.complete(right)).session.state == READY
    wrong = await uploaded(service, PNG, content_type="application/pdf")
    refused = await failure(service.complete(wrong))
    assert refused.reason == "CONTENT_TYPE_MISMATCH"
    assert refused.facts["detectedContentType"] == "image/png"


@pytest.mark.parametrize(
    ("content", "detected"),
    [
        (b"<!DOCTYPE html><script>alert(1)</script>", "text/plain"),
        (b"\x7fELF\2\1\1" + bytes(57), "application/x-executable"),
        (bytes(4096), ""),
        ("<svg onload='alert(1)'/>".encode("utf-16"), "text/plain"),
    ],
    ids=["html", "elf", "zeros", "svg in utf-16"],
)
async def test_bytes_that_do_not_show_the_declared_signature_are_refused(
    make_service: MakeService, content: bytes, detected: str
) -> None:
    service = await make_service(sniffing="enforce")
    refused = await failure(
        service.complete(await uploaded(service, content, content_type="image/png"))
    )
    assert refused.reason == "CONTENT_TYPE_MISMATCH"
    assert refused.facts.get("detectedContentType", "") == detected


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/x-unheard-of"])
async def test_a_type_that_no_bytes_can_show_is_accepted_as_inconclusive(
    make_service: MakeService, content_type: str
) -> None:
    service = await make_service(sniffing="enforce")
    attachment_id = await uploaded(service, PNG, content_type=content_type)
    for completed in [await service.complete(attachment_id, request_id="r") for _ in range(2)]:
        assert completed.session.state == READY
        assert completed.checks[-1].kind == VerificationCheck.KIND_DETECTED_CONTENT_TYPE
        assert completed.checks[-1].outcome == VerificationCheck.OUTCOME_INCONCLUSIVE
        assert completed.attachment.detected_content_type == "image/png"


async def test_sniffing_can_be_off(make_service: MakeService) -> None:
    service = await make_service(sniffing="off")
    completed = await service.complete(await uploaded(service, PNG))
    assert completed.attachment.detected_content_type == ""


async def test_the_report_names_every_check_and_how_it_was_made(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service, checksums={"sha256": SHA256, "crc32c": CRC32C})
    completed = await service.complete(attachment_id, checksums={"md5": MD5})
    report = {
        VerificationCheck.Kind.Name(c.kind)[5:]: VerificationCheck.Method.Name(c.method)[7:]
        for c in completed.checks
    }
    assert report == {
        "EXISTS": "HEAD",
        "SIZE": "HEAD",
        "MAX_SIZE": "HEAD",
        "CONTENT_TYPE": "HEAD",
        "MD5": "ETAG",
        "SHA256": "ATTESTED",
        "CRC32C": "HASHED",
        "DETECTED_CONTENT_TYPE": "SNIFFED",
    }


@pytest.mark.requirement("N7")
async def test_ready_session_cannot_be_completed_again(service: ServiceUnderTest) -> None:
    attachment_id = await service.ready()
    for fields in ({}, {"request_id": "another"}):
        refused = await failure(service.complete(attachment_id, **fields))
        assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.reason == "UPLOAD_ALREADY_COMPLETED"
        assert refused.facts["httpStatus"] == "409"


@pytest.mark.requirement("N7")
async def test_failed_session_can_never_be_completed(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service)
    await failure(service.complete(attachment_id, checksums={"md5": "0" * 32}))
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "UPLOAD_FAILED"
    assert refused.facts["httpStatus"] == "409"
    assert refused.facts["failureReason"] == "CHECKSUM_MISMATCH"


@pytest.mark.requirement("N7")
async def test_ready_session_past_its_deadline_is_reported_completed_not_expired(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await service.ready()
    await service.age(attachment_id, timedelta(hours=2))
    assert (await failure(service.complete(attachment_id))).reason == "UPLOAD_ALREADY_COMPLETED"


@pytest.mark.requirement("N8")
async def test_deadline_applies_without_any_background_job(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service)
    await service.age(attachment_id, timedelta(hours=1))
    refused = await failure(service.complete(attachment_id))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "UPLOAD_EXPIRED"
    assert refused.facts["httpStatus"] == "410"
    session = await service.get(attachment_id)
    assert session.state == pb.UPLOAD_SESSION_STATE_EXPIRED
    assert not session.HasField("expire_time")


async def test_a_missing_object_tells_until_when_the_target_can_write_and_how_to_get_another(
    service: ServiceUnderTest,
) -> None:
    started = await service.start(size_bytes=len(BODY), request_id="r-1")
    attachment_id = started.session.attachment_id
    facts = (await failure(service.complete(attachment_id))).facts
    until = datetime.fromisoformat(facts["uploadUrlExpireTime"])
    assert until == started.session.upload_url_expire_time.ToDatetime(UTC)
    assert facts["newTarget"] == "Repeat StartUploadSession with the same request_id."
    again = await service.start(size_bytes=len(BODY), request_id="r-1")
    assert again.session.attachment_id == attachment_id
    assert again.HasField("target")


@pytest.mark.requirement("P7")
async def test_the_next_step_names_the_call_and_the_id(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    missing = await service.complete(attachment_id, validate_only=True)
    assert missing.next_step.startswith("Upload bytes")
    await service.send(started.target, BODY)
    checked = await service.complete(attachment_id, validate_only=True)
    assert "without validate_only" in checked.next_step
    for dry_run in (missing, checked):
        assert f"call CompleteUploadSession with attachment_id {attachment_id}" in dry_run.next_step
    completed = await service.complete(attachment_id, request_id="r-1")
    for part in ("ResolveAttachments", "CreateDownloadUrl", f"attachment_id {attachment_id} "):
        assert part in completed.next_step
    assert await service.complete(attachment_id, request_id="r-1") == completed
    deleting = attachments_pb2.DeleteAttachmentRequest(
        tenant_id=TENANT, attachment_id=attachment_id
    )
    await service.attachments.DeleteAttachment(deleting, metadata=service.metadata)
    replayed = await service.complete(attachment_id, request_id="r-1")
    assert "call StartUploadSession" in replayed.next_step


async def test_the_same_request_id_has_the_same_outcome(service: ServiceUnderTest) -> None:
    attachment_id = await uploaded(service)
    first = await service.complete(attachment_id, request_id="r-1")
    second = await service.complete(attachment_id, request_id="r-1")
    assert second == first
    assert await service.events(attachment_id) == ["pending", "ready"]


async def test_the_same_request_id_has_the_same_terminal_failure(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    wrong = {"checksums": {"md5": "0" * 32}, "request_id": "r-1"}
    first = await failure(service.complete(attachment_id, **wrong))
    second = await failure(service.complete(attachment_id, **wrong))
    assert (second.code, second.reason, second.facts) == (first.code, first.reason, first.facts)
    other = await failure(service.complete(attachment_id, request_id="r-2"))
    assert other.reason == "UPLOAD_FAILED"


async def test_a_request_id_with_another_payload_is_refused(service: ServiceUnderTest) -> None:
    one, other = await uploaded(service), await uploaded(service)
    await service.complete(one, request_id="r-1")
    for call in (
        service.complete(one, request_id="r-1", size_bytes=6),
        service.complete(other, request_id="r-1"),
    ):
        assert (await failure(call)).reason == "REQUEST_ID_REUSED"
    assert (await service.get(other)).state == PENDING


async def test_of_two_sessions_raced_with_one_request_id_only_one_becomes_ready(
    service: ServiceUnderTest,
) -> None:
    ids = [await uploaded(service) for _ in range(6)]
    await asyncio.gather(
        *(service.complete(i, request_id="r-1") for i in ids), return_exceptions=True
    )
    states = [(await service.get(i)).state for i in ids]
    assert sorted(states) == [PENDING] * 5 + [READY]


@pytest.mark.parametrize("seal", ["write_once", "copy"])
@pytest.mark.sample(1)
async def test_fifty_parallel_completes_end_in_one_transition(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    attachment_id = await uploaded(service)
    answers = await asyncio.gather(
        *(service.complete(attachment_id, request_id="same") for _ in range(25)),
        *(service.complete(attachment_id, request_id=f"r-{n}") for n in range(25)),
        return_exceptions=True,
    )
    won = [a for a in answers if not isinstance(a, BaseException)]
    assert len(won) in (1, 25)
    assert len({a.SerializeToString(deterministic=True) for a in won}) == 1
    assert await service.events(attachment_id) == ["pending", "ready"]
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1


async def test_the_loser_of_a_race_stores_no_outcome(make_service: MakeService) -> None:
    # As in two processes: their calls share no statement.
    service = await make_service(database_coalesce=False)
    attachment_id = await uploaded(service)
    async with service.row_locked(attachment_id):
        racing = [
            asyncio.ensure_future(service.complete(attachment_id, request_id=f"r-{n}"))
            for n in range(2)
        ]
        await service.until_blocked(2)
    answers = await asyncio.gather(*racing, return_exceptions=True)
    (loser,) = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    again = await failure(service.complete(attachment_id, request_id=f"r-{loser}"))
    assert again.reason == "UPLOAD_ALREADY_COMPLETED"


async def test_a_race_of_complete_and_cancel_has_one_winner(service: ServiceUnderTest) -> None:
    for _ in range(10):
        attachment_id = await uploaded(service)
        completed, cancelled = await asyncio.gather(
            service.complete(attachment_id),
            service.cancel(attachment_id),
            return_exceptions=True,
        )
        state = (await service.get(attachment_id)).state
        assert (state == READY) == (not isinstance(completed, BaseException))
        assert (state == pb.UPLOAD_SESSION_STATE_CANCELLED) == (
            not isinstance(cancelled, BaseException)
        )
        assert len(await service.events(attachment_id)) == 2


async def test_validate_only_reports_and_changes_nothing(service: ServiceUnderTest) -> None:
    started = await service.start(size_bytes=len(BODY))
    attachment_id = started.session.attachment_id
    missing = await service.complete(attachment_id, validate_only=True)
    assert [c.outcome for c in missing.checks] == [VerificationCheck.OUTCOME_FAILED]
    await service.send(started.target, BODY)
    wrong = await service.complete(
        attachment_id, validate_only=True, checksums={"md5": "0" * 32}, request_id="r-1"
    )
    assert VerificationCheck.OUTCOME_FAILED in [c.outcome for c in wrong.checks]
    assert not wrong.HasField("attachment")
    assert (await service.get(attachment_id)).state == PENDING
    assert (await service.complete(attachment_id, request_id="r-1")).session.state == READY


async def test_a_copy_is_verified_itself_and_dropped_if_it_fails(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await make_service(seal="copy")
    attachment_id = await uploaded(service, checksums={"crc32c": CRC32C})
    real = S3ObjectStore.copy

    async def falsified(self: S3ObjectStore, source: StoredObject, key: str, kind: str) -> None:
        await real(self, source, key, kind)
        await service.s3.put_object(
            Bucket=service.bucket, Key=key, Body=b"HELLO\n", ContentType=kind
        )

    monkeypatch.setattr(S3ObjectStore, "copy", falsified)
    refused = await failure(service.complete(attachment_id))
    assert refused.reason == "OBJECT_CHANGING"
    await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1
    monkeypatch.undo()
    assert (await service.complete(attachment_id)).session.state == READY


@pytest.mark.parametrize("seal", ["write_once", "copy"])
async def test_a_failed_upload_leaves_no_object_by_either_seal(
    make_service: MakeService, seal: str
) -> None:
    service = await make_service(seal=seal)
    attachment_id = await uploaded(service)
    await failure(service.complete(attachment_id, checksums={"sha256": "0" * 64}))
    await service.app.background.drain(5)
    assert await service.keys_in_store() == set()


@pytest.mark.requirement("L7")
@pytest.mark.parametrize("body", [b"x", b"x" * 1000])
async def test_one_byte_and_the_limit_are_ready_by_either_target(
    make_service: MakeService, body: bytes
) -> None:
    service = await make_service(max_size=1000)
    for declared in (len(body), None):
        attachment_id = await uploaded(service, body, size_bytes=declared)
        assert (await service.complete(attachment_id)).session.size_bytes == len(body)


@pytest.mark.bad_input
async def test_no_byte_and_one_byte_too_many_are_refused_before_they_are_stored(
    make_service: MakeService,
) -> None:
    service = await make_service(max_size=1000)
    for size in (0, 1001):
        refused = await failure(service.start(size_bytes=size))
        assert refused.reason == "SIZE_OUT_OF_RANGE"
        assert refused.facts["maxSize"] == "1000"
        form = (await service.start()).target
        assert 400 <= await service.send(form, b"x" * size) < 500
    assert await service.keys_in_store() == set()
