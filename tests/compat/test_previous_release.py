"""The previous release and this one work together: client with service, service with service."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from attachery.v1 import resources_pb2, upload_sessions_pb2
from attachery_client import AttacheryClient, AttacheryError, CallInfo
from support.environments import Environment, call
from support.process_fixtures import BODY, RunHere, Serve, ServeSettings, Serving, serving
from support.processes import started
from support.service_fixtures import TENANT

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.xdist_group("packaging"),
    pytest.mark.timeout(300),
]

PENDING = resources_pb2.UPLOAD_SESSION_STATE_PENDING
READY = resources_pb2.UPLOAD_SESSION_STATE_READY
CANCELLED = resources_pb2.UPLOAD_SESSION_STATE_CANCELLED
DELETED = resources_pb2.UPLOAD_SESSION_STATE_DELETED
FLOW = Path(__file__).with_name("flow.py")
SEEN = {
    "downloaded": "hello\n",
    "attachment": ["a.txt", 6, sha256(BODY).hexdigest()],
    "hold": [True, "AttachmentNotFound", True],
    "batch": ["ObjectNotUploaded", "AttachmentNotFound"],
    "cancelled": CANCELLED,
    "listed": [
        CANCELLED,
        PENDING,
        READY,
    ],
    "policy": True,
    "deleted": DELETED,
    "errors": [
        "AttachmentNotFound ATTACHMENT_NOT_FOUND",
        "TenantDenied TENANT_DENIED",
        "InvalidRequest INVALID_FILENAME",
        "InvalidRequest SIZE_OUT_OF_RANGE",
    ],
}


@pytest.fixture
def previous_settings(serve_settings: ServeSettings, empty_database_url: str) -> ServeSettings:
    return {**serve_settings, "database_url": empty_database_url}


@pytest.fixture
async def previous_service(
    previous: Environment,
    previous_settings: ServeSettings,
    empty_database_url: str,
    new_folder: Callable[[], Path],
) -> AsyncIterator[Serving]:
    """The previous release's service, on a database that it has migrated itself."""
    folder = new_folder()
    python, settings = previous.python, previous_settings
    with started(folder, "migrate", settings=settings, installed=python) as migration:
        assert await migration.ended() == 0, migration.errors
    with started(folder, "serve", settings=settings, installed=python) as process:
        async with serving(process, empty_database_url) as service:
            yield service


def flow(python: Path | str, service: Serving, *, sources: bool = False) -> object:
    """The result of flow.py, run by the client that this Python has installed."""
    done = call([python, FLOW, service.listen, service.api_key], sources=sources)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.requirement("P1")
async def test_the_previous_client_works_with_this_service(
    previous: Environment, serve: Serve
) -> None:
    assert flow(previous.python, await serve()) == SEEN


async def test_this_client_works_with_the_previous_service(previous_service: Serving) -> None:
    assert flow(sys.executable, previous_service, sources=True) == SEEN


async def test_a_response_of_the_previous_service_has_a_request_id_but_no_attempts(
    previous_service: Serving,
) -> None:
    calls = list[CallInfo]()
    options: dict[str, Any] = {"api_key": previous_service.api_key, "on_call": calls.append}
    async with AttacheryClient(previous_service.listen, **options) as client:
        await client.get_upload_policy(tenant_id=TENANT)
        with pytest.raises(AttacheryError) as caught:
            await client.get_attachment("unknown", tenant_id=TENANT)
    assert [call.attempts for call in calls] == [None, None]
    assert calls[1].request_id == caught.value.request_id
    assert all(call.request_id for call in calls)


async def test_this_client_works_with_this_service(serve: Serve) -> None:
    assert flow(sys.executable, await serve(), sources=True) == SEEN


async def test_services_of_both_releases_share_a_database_while_they_are_exchanged(
    previous_service: Serving,
    previous_settings: ServeSettings,
    empty_database_url: str,
    run_here: RunHere,
    new_folder: Callable[[], Path],
) -> None:
    begun_before = await previous_service.uploaded()
    assert (await run_here("migrate", settings=previous_settings)).code == 0
    with started(new_folder(), "serve", settings=previous_settings) as process:
        async with serving(process, empty_database_url) as service:
            begun_after = await service.uploaded()
            crossed = [
                await service.complete(begun_before),
                await previous_service.complete(begun_after),
            ]
            repeated = await complete_once_at_each(previous_service, service)
            seen = flow(sys.executable, previous_service, sources=True)

    assert [answer.session.state for answer in crossed] == [READY, READY]
    for answer in repeated:
        answer.ClearField("next_step")  # which the previous release does not have
    assert repeated[0] == repeated[1]
    assert seen == {**SEEN, "listed": [CANCELLED, PENDING, READY, READY]}


async def complete_once_at_each(
    first: Serving, second: Serving
) -> list[upload_sessions_pb2.CompleteUploadSessionResponse]:
    """The responses to one request with a request id, which only the first service carries out."""
    request = upload_sessions_pb2.CompleteUploadSessionRequest(
        tenant_id=TENANT, attachment_id=await first.uploaded(), request_id=str(uuid4())
    )
    return [
        await service.uploads.CompleteUploadSession(request, metadata=service.metadata())
        for service in (first, second)
    ]
