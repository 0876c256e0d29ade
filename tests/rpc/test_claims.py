"""The uploader's own Complete, after the service has completed the session itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from attachery.v1 import attachments_pb2
from attachery.v1 import resources_pb2 as pb
from attachery.v1.upload_sessions_pb2 import VerificationCheck
from rpc.test_batch_complete_upload_sessions import Item, complete, reasons, wrong
from support.failures import failure
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest, age
from support.sweep_fixtures import Sweeper, opened_sweeper

BODY = b"hello\n"
SHA256 = hashlib.sha256(BODY).hexdigest()
READY = pb.UPLOAD_SESSION_STATE_READY


async def uploaded(service: ServiceUnderTest, **fields: object) -> str:
    started = await service.start(**{"size_bytes": len(BODY), "auto_complete": True, **fields})
    assert await service.send(started.target, BODY) < 300
    attachment_id: str = started.session.attachment_id
    return attachment_id


async def completed_by_the_service(
    service: ServiceUnderTest, sweeper: Sweeper, **fields: object
) -> str:
    attachment_id = await uploaded(service, **fields)
    assert await sweeper.sweep.auto_complete(TENANT, UUID(attachment_id))
    return attachment_id


async def claim_event(service: ServiceUnderTest, attachment_id: str) -> dict[str, object]:
    row = await service.database.fetchrow(
        "SELECT actor, request_id, facts FROM session_events WHERE attachment_id = $1"
        " ORDER BY revision DESC LIMIT 1",
        attachment_id,
    )
    assert row
    return {**row, "facts": json.loads(row["facts"])}


@pytest.mark.parametrize("seal", ["write_once", "copy"])
@pytest.mark.parametrize("request_id", ["", "r-1"])
async def test_the_first_complete_of_the_uploader_is_answered_ok_and_later_ones_are_refused(
    make_service: MakeService, seal: str, request_id: str
) -> None:
    service = await make_service(seal=seal)
    async with opened_sweeper(service.settings) as sweeper:
        attachment_id = await completed_by_the_service(service, sweeper)
    answer = await service.complete(
        attachment_id, request_id=request_id, checksums=pb.Checksums(sha256=SHA256)
    )
    assert answer.session.state == READY
    assert answer.attachment.attachment_id == attachment_id
    assert answer.attachment.checksums.sha256 == SHA256
    kinds = {VerificationCheck.Kind.Name(each.kind) for each in answer.checks}
    assert {"KIND_EXISTS", "KIND_SIZE", "KIND_CONTENT_TYPE", "KIND_SHA256"} <= kinds
    assert {each.outcome for each in answer.checks} == {VerificationCheck.OUTCOME_PASSED}
    for other in ("", "r-2"):
        late = await failure(service.complete(attachment_id, request_id=other))
        assert late.reason == "UPLOAD_ALREADY_COMPLETED"
    event = await claim_event(service, attachment_id)
    assert (event["actor"], event["request_id"]) == ("tester", request_id or None)
    assert isinstance(event["facts"], dict)
    assert event["facts"]["cause"] == "claim"
    assert await service.events(attachment_id) == ["pending", "ready", "ready"]
    assert await service.app.background.drain(5)
    assert len(await service.keys_in_store()) == 1


async def test_the_outcome_of_the_uploaders_complete_is_repeated(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    first = await service.complete(attachment_id, request_id="r-1")
    assert await service.complete(attachment_id, request_id="r-1") == first
    reused = await failure(service.complete(attachment_id, request_id="r-1", size_bytes=len(BODY)))
    assert reused.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("demands", "reason"),
    [
        ({"checksums": pb.Checksums(sha256="0" * 64)}, "CHECKSUM_MISMATCH"),
        ({"checksums": pb.Checksums(md5="0" * 32)}, "CHECKSUM_MISMATCH"),
        ({"size_bytes": len(BODY) + 1}, "SIZE_MISMATCH"),
    ],
)
async def test_a_mismatch_is_the_answer_once_and_the_attachment_stays_ready(
    service: ServiceUnderTest, sweeper: Sweeper, demands: dict[str, object], reason: str
) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    for _ in range(2):
        refused = await failure(service.complete(attachment_id, request_id="r-1", **demands))
        assert refused.reason == reason
    late = await failure(service.complete(attachment_id))
    assert late.reason == "UPLOAD_ALREADY_COMPLETED"
    assert (await service.get(attachment_id)).state == READY
    event = await claim_event(service, attachment_id)
    assert isinstance(event["facts"], dict)
    assert event["facts"]["reason"] == reason
    assert await service.app.background.drain(5)
    assert await service.keys_in_store()


async def test_a_mismatch_may_be_corrected_where_wrong_bytes_may_be_replaced(
    make_service: MakeService, tmp_path: Path
) -> None:
    purposes = tmp_path / "purposes.toml"
    purposes.write_text("[default]\nterminal_on_mismatch = false\n", encoding="utf-8")
    service = await make_service(purposes=purposes)
    async with opened_sweeper(service.settings) as sweeper:
        attachment_id = await completed_by_the_service(service, sweeper)
    wrong_size = {"request_id": "r-1", "size_bytes": 1}
    assert (await failure(service.complete(attachment_id, **wrong_size))).reason == "SIZE_MISMATCH"
    assert (await service.complete(attachment_id, request_id="r-2")).session.state == READY


async def test_validate_only_claims_nothing(service: ServiceUnderTest, sweeper: Sweeper) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    answer = await service.complete(attachment_id, validate_only=True, size_bytes=1)
    outcomes = [each.outcome for each in answer.checks]
    assert VerificationCheck.OUTCOME_FAILED in outcomes
    assert await service.events(attachment_id) == ["pending", "ready"]
    assert (await service.complete(attachment_id)).session.state == READY


async def test_of_many_completes_at_once_exactly_one_is_answered_ok(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    calls = [service.complete(attachment_id, request_id=f"r-{n}") for n in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in outcomes) == 1
    assert await service.events(attachment_id) == ["pending", "ready", "ready"]


@pytest.mark.parametrize("batched", [False, True], ids=["single", "atomic-batch"])
async def test_a_complete_that_the_service_gets_ahead_of_is_answered_ok(
    service: ServiceUnderTest, sweeper: Sweeper, batched: bool
) -> None:
    attachment_id = await uploaded(service)
    other = await uploaded(service)
    async with service.row_locked(attachment_id):
        by_the_service = asyncio.create_task(
            sweeper.sweep.auto_complete(TENANT, UUID(attachment_id))
        )
        await service.until_blocked(1)
        call: Coroutine[Any, Any, Any] = (
            complete(service, attachment_id, other, atomic=True, request_id="r-1")
            if batched
            else service.complete(attachment_id)
        )
        by_the_uploader = asyncio.create_task(call)
        await service.until_blocked(2)
    assert await by_the_service
    answer = await by_the_uploader
    if batched:
        assert reasons(answer) == ["", ""]
        assert (await service.get(other)).state == READY
    assert await service.events(attachment_id) == ["pending", "ready", "ready"]


async def test_the_service_never_claims(service: ServiceUnderTest, sweeper: Sweeper) -> None:
    attachment_id = await uploaded(service)
    calls = [sweeper.sweep.auto_complete(TENANT, UUID(attachment_id)) for _ in range(5)]
    assert sum(await asyncio.gather(*calls)) == 1
    assert await service.events(attachment_id) == ["pending", "ready"]
    assert (await service.complete(attachment_id)).session.state == READY


async def test_a_session_that_the_uploader_completed_is_not_claimed(
    service: ServiceUnderTest,
) -> None:
    attachment_id = await uploaded(service)
    await service.complete(attachment_id)
    late = await failure(service.complete(attachment_id))
    assert late.reason == "UPLOAD_ALREADY_COMPLETED"


async def test_a_deleted_attachment_is_not_claimed(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    request = attachments_pb2.DeleteAttachmentRequest(tenant_id=TENANT, attachment_id=attachment_id)
    await service.attachments.DeleteAttachment(request, metadata=service.metadata)
    late = await failure(service.complete(attachment_id))
    assert late.reason == "UPLOAD_ALREADY_COMPLETED"


async def test_a_session_token_claims_its_session(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    started = await service.start(size_bytes=len(BODY), auto_complete=True)
    assert await service.send(started.target, BODY) < 300
    attachment_id = started.session.attachment_id
    assert await sweeper.sweep.auto_complete(TENANT, UUID(attachment_id))
    service.metadata = (("authorization", f"Bearer {started.session_token}"),)
    assert (await service.complete(attachment_id)).session.state == READY


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_batch_claims_sessions_that_the_service_completed(
    service: ServiceUnderTest, sweeper: Sweeper, atomic: bool
) -> None:
    claimed, pending = await completed_by_the_service(service, sweeper), await uploaded(service)
    item = Item(attachment_id=claimed, checksums=pb.Checksums(sha256=SHA256))
    for _ in range(2):
        results = await complete(service, item, pending, atomic=atomic, request_id="r-1")
        assert reasons(results) == ["", ""]
    assert results[0].response.checks
    late = await complete(service, claimed, pending)
    assert reasons(late) == ["UPLOAD_ALREADY_COMPLETED"] * 2
    stored = "SELECT sum(stored_bytes)::bigint FROM tenant_usage"
    assert await service.database.fetchval(stored) == 2 * len(BODY)
    assert await service.events(claimed) == ["pending", "ready", "ready"]


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_batch_does_not_claim_purged_attachments(
    service: ServiceUnderTest, sweeper: Sweeper, atomic: bool
) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    other = await uploaded(service)
    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM upload_sessions WHERE attachment_id = $1 FOR UPDATE", attachment_id
        )
        batch = asyncio.create_task(
            complete(service, attachment_id, other, atomic=atomic, request_id="r-1")
        )
        await service.until_blocked(1)
        await age(connection, attachment_id, timedelta(hours=1))
    late = "BATCH_ABORTED" if atomic else ""
    assert reasons(await batch) == ["UPLOAD_ALREADY_COMPLETED", late]
    assert await service.events(attachment_id) == ["pending", "ready"]
    assert await service.events(other) == ["pending", *([] if atomic else ["ready"])]


async def test_a_mismatch_with_a_completed_session_aborts_an_atomic_batch(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    claimed, pending = await completed_by_the_service(service, sweeper), await uploaded(service)
    results = await complete(service, wrong(claimed), pending, atomic=True, request_id="r-1")
    assert reasons(results) == ["CHECKSUM_MISMATCH", "BATCH_ABORTED"]
    assert await service.events(claimed) == ["pending", "ready", "ready"]
    assert await service.events(pending) == ["pending"]
    assert await service.app.background.drain(5)
    assert (await service.get(claimed)).state == READY
    assert len(await service.keys_in_store()) == 2


async def test_a_digest_that_is_not_stored_is_computed_from_the_sealed_object(
    service: ServiceUnderTest, sweeper: Sweeper
) -> None:
    attachment_id = await completed_by_the_service(service, sweeper)
    (key,) = await service.keys_in_store()
    await service.database.execute("UPDATE upload_sessions SET verified_checksums = '{}'")
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=b"other\n")
    asked = {"checksums": pb.Checksums(sha256=SHA256)}
    changed = await failure(service.complete(attachment_id, **asked))
    assert changed.reason == "OBJECT_CHANGED"
    await service.s3.delete_object(Bucket=service.bucket, Key=key)
    missing = await failure(service.complete(attachment_id, **asked))
    assert missing.reason == "OBJECT_MISSING"
    await service.s3.put_object(Bucket=service.bucket, Key=key, Body=BODY, ContentType="text/plain")
    answer = await service.complete(attachment_id, **asked)
    assert answer.attachment.checksums.sha256 == SHA256
