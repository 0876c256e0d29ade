"""FakeAttachery fails as a test requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from attachery.v1.errors_pb2 import ErrorReason
from attachery_client import ProxyFailed, TransferFailed, errors
from attachery_client.testing import FakeAttachery

TENANT = "acme"
NAMES = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeAttachery]:
    async with FakeAttachery() as client:
        yield client


async def start(fake: FakeAttachery, **own: Any) -> str:
    started = await fake.start_upload_session(
        **{"tenant_id": TENANT, "filename": "a.txt", "content_type": "text/plain", **own}
    )
    return started.session.attachment_id


async def policy(fake: FakeAttachery) -> None:
    await fake.get_upload_policy(tenant_id=TENANT)


async def upload(fake: FakeAttachery, **own: Any) -> str:
    uploaded = await fake.upload(b"hello", tenant_id=TENANT, filename="a.txt", **own)
    return uploaded.attachment_id


async def test_a_failure_is_that_of_the_next_call_only(fake: FakeAttachery) -> None:
    fake.fail(errors.Unavailable)
    with pytest.raises(errors.Unavailable):
        await policy(fake)
    await policy(fake)


async def test_a_failure_may_last_for_some_calls(fake: FakeAttachery) -> None:
    fake.fail("OVERLOADED", times=3)
    raised = list[errors.AttacheryError]()
    for _ in range(3):
        with pytest.raises(errors.Overloaded) as caught:
            await policy(fake)
        raised.append(caught.value)
    await policy(fake)
    assert len({id(error) for error in raised}) == 3
    assert len({error.request_id for error in raised}) == 3


async def test_a_failure_may_last_until_it_is_cleared(fake: FakeAttachery) -> None:
    fake.fail(errors.DatabaseUnavailable, times=None)
    for _ in range(9):
        with pytest.raises(errors.DatabaseUnavailable):
            await policy(fake)
    fake.clear_failures()
    await policy(fake)


async def test_failures_occur_in_the_order_of_their_planning(
    fake: FakeAttachery,
) -> None:
    fake.fail("STORAGE_UNAVAILABLE")
    fake.fail("RATE_LIMITED")
    for expected in (errors.StorageUnavailable, errors.RateLimited):
        with pytest.raises(expected):
            await policy(fake)


async def test_a_failure_may_be_that_of_one_method(fake: FakeAttachery) -> None:
    fake.fail("STORAGE_UNAVAILABLE", method="complete_upload_session")
    attachment_id = await start(fake)
    fake.put(attachment_id, b"hello")
    with pytest.raises(errors.StorageUnavailable):
        await fake.complete_upload_session(attachment_id, tenant_id=TENANT)
    await fake.complete_upload_session(attachment_id, tenant_id=TENANT)


async def test_a_failure_reaches_the_calls_within_an_upload(fake: FakeAttachery) -> None:
    fake.fail("PENDING_SESSIONS_LIMIT", method="start_upload_session")
    with pytest.raises(errors.PendingSessionsLimit):
        await upload(fake)
    await upload(fake)


async def test_an_exception_keeps_its_facts_and_its_time_to_wait(fake: FakeAttachery) -> None:
    fake.fail(
        errors.RateLimited(
            "slow down", facts={"limit": "5/second"}, retry_after=timedelta(seconds=7)
        )
    )
    with pytest.raises(errors.RateLimited, match="slow down") as caught:
        await policy(fake)
    assert caught.value.facts == {"limit": "5/second"}
    assert caught.value.retry_after == timedelta(seconds=7)
    assert caught.value.http_status == 429


@pytest.mark.parametrize("reason", NAMES)
async def test_every_reason_of_the_contract_can_be_simulated(
    fake: FakeAttachery, reason: str
) -> None:
    fake.fail(reason)
    with pytest.raises(errors.AttacheryError) as caught:
        await policy(fake)
    assert caught.value.reason == reason
    assert type(caught.value) is not errors.AttacheryError
    assert caught.value.http_status is not None


async def test_a_lost_answer_has_its_effect(fake: FakeAttachery) -> None:
    fake.fail(errors.Unavailable, method="start_upload_session", answer_is_lost=True)
    with pytest.raises(errors.Unavailable):
        await start(fake, request_id="r1")
    listed = await fake.list_upload_sessions(tenant_id=TENANT)
    assert [s.attachment_id for s in listed.sessions] == [await start(fake, request_id="r1")]


async def test_a_transfer_can_fail(fake: FakeAttachery) -> None:
    fake.fail(TransferFailed(status=403, store_code="AccessDenied"))
    with pytest.raises(TransferFailed) as caught:
        await upload(fake)
    assert (caught.value.status, caught.value.store_code) == (403, "AccessDenied")
    attachment_id = await upload(fake)
    fake.fail(ProxyFailed("the proxy is down"), method="fetch", times=2)
    for _ in range(2):
        with pytest.raises(ProxyFailed):
            await fake.download(attachment_id, tenant_id=TENANT)
    assert await fake.download(attachment_id, tenant_id=TENANT) == b"hello"


async def test_a_transfer_with_a_lost_response_has_stored_the_bytes(fake: FakeAttachery) -> None:
    fake.fail(TransferFailed(), method="send", answer_is_lost=True)
    with pytest.raises(TransferFailed):
        await upload(fake, request_id="mine")
    (session,) = (await fake.list_upload_sessions(tenant_id=TENANT)).sessions
    await fake.complete_upload_session(session.attachment_id, tenant_id=TENANT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"failure": "NO_SUCH_REASON"}, "NO_SUCH_REASON"),
        ({"failure": "UNSPECIFIED"}, "UNSPECIFIED"),
        ({"failure": "RATE_LIMITED", "method": "upload"}, "start_upload_session"),
        ({"failure": "RATE_LIMITED", "method": "send"}, "does not raise"),
        ({"failure": TransferFailed(), "method": "get_attachment"}, "does not raise"),
        ({"failure": "RATE_LIMITED", "times": 0}, "at least 1"),
    ],
    ids=["reason", "unspecified", "method", "transfer", "call", "times"],
)
def test_impossible_failures_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FakeAttachery().fail(**arguments)
