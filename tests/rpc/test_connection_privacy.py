"""What a participant cannot learn from errors: usage of its tenant, and sessions of others."""

from __future__ import annotations

from typing import Any

import pytest

from attachery.v1 import attachments_pb2 as apb
from support.connecting import READ, connected
from support.failures import Failure, failure
from support.service_fixtures import MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
READS = {
    "GetAttachment": apb.GetAttachmentRequest,
    "CreateDownloadUrl": apb.CreateDownloadUrlRequest,
}


async def refused_read(caller: ServiceUnderTest, method: str, attachment_id: str) -> Failure:
    request: Any = READS[method](attachment_id=attachment_id)
    return await failure(getattr(caller.attachments, method)(request, metadata=caller.metadata))


async def session_in(caller: ServiceUnderTest, state: str) -> str:
    """The id of a session that has not become an attachment."""
    started = await caller.start(size_bytes=6, checksums={"md5": "0" * 32})
    attachment_id = started.session.attachment_id
    if state == "cancelled":
        await caller.cancel(attachment_id)
    return attachment_id


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize("state", ["pending", "cancelled"])
@pytest.mark.bad_input
async def test_a_foreign_session_that_is_no_attachment_is_like_an_unknown_one(
    shared_service: ServiceUnderTest, state: str, method: str
) -> None:
    reader = await connected(shared_service, "reader", scopes=READ)
    unknown = await refused_read(reader, method, UNKNOWN)
    assert unknown.reason == "ATTACHMENT_NOT_FOUND"
    for owner in (shared_service, await connected(shared_service, "owner")):
        foreign = await session_in(owner, state)
        refused = await refused_read(reader, method, foreign)
        assert refused.status.SerializeToString() == unknown.status.SerializeToString().replace(
            UNKNOWN.encode(), foreign.encode()
        )
    own = await refused_read(reader, method, await session_in(reader, state))
    assert own.reason == {"pending": "UPLOAD_NOT_READY", "cancelled": "UPLOAD_CANCELLED"}[state]


async def test_a_quota_is_exceeded_without_the_usage_of_the_tenant(
    make_service: MakeService,
) -> None:
    service = await make_service(max_pending_sessions=1)
    visitor = await connected(service, "visitor")
    await service.start()
    refused = await failure(visitor.start())
    assert refused.reason == "PENDING_SESSIONS_LIMIT"
    assert refused.facts["quota"] == "max_pending_sessions"
    assert not {"limit", "used"} & refused.facts.keys()
    assert (await failure(service.start())).facts["used"] == "1"
