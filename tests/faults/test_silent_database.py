"""A PostgreSQL that does not answer: every caller is refused in time, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from pydantic import SecretStr

from attachery.v1 import attachments_pb2 as apb
from attachery.v1 import resources_pb2 as pb
from attachery.v1 import upload_sessions_pb2 as upb
from attachery_dev.embedded.postgres import running_postgres
from attachery_service.postgres.database import Database
from attachery_service.postgres.migrate import migrate
from attachery_service.postgres.queries import Query, query
from support.failures import failure
from support.processes import family
from support.service_fixtures import TENANT, MakeService, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"
CALLERS = 64
BLOCKED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'attachery' AND wait_event_type = 'Lock'
"""


@dataclass(frozen=True)
class OwnPostgres:
    """A server that tests can stop without stopping the server of other tests."""

    url: str
    folder: Path

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Keeps every process of the server stopped: connections stay open, nothing answers."""
        pid = int((self.folder / "cluster" / "postmaster.pid").read_text().splitlines()[0])
        stopped = [pid, *family(pid)]
        for each in stopped:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in reversed(stopped):
                os.kill(each, signal.SIGCONT)


@pytest.fixture(scope="module")
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnPostgres]:
    folder = tmp_path_factory.mktemp("own-postgres")
    async with running_postgres(folder, durable=False) as url:
        await migrate(url)
        yield OwnPostgres(url, folder)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the statements that the service sends, by their text."""
    sent: Counter[str] = Counter()

    def counted(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(self: Database, statement: Query, **values: object) -> Any:
            sent[statement.text] += 1
            return await real(self, statement, **values)

        return run

    monkeypatch.setattr(Database, "row", counted(Database.row))
    monkeypatch.setattr(Database, "rows", counted(Database.rows))
    return sent


async def refusals(*calls: Awaitable[Any]) -> Counter[str]:
    """The reasons of calls that must all fail."""
    return Counter(each.reason for each in await asyncio.gather(*map(failure, calls)))


async def test_callers_with_uncached_keys_share_one_read_and_its_failure(
    make_service: MakeService, own_postgres: OwnPostgres, statements: Counter[str]
) -> None:
    service = await make_service(
        database_url=SecretStr(own_postgres.url), database_timeout=1.0, key_cache_time=60.0
    )
    with own_postgres.silent():
        # One after the other, they would take 64 s.
        async with asyncio.timeout(20):
            found = await refusals(*(service.get(UNKNOWN) for _ in range(CALLERS)))
    assert found == {"DATABASE_UNAVAILABLE": CALLERS}
    # A second one, if the last callers arrive only after the first one has failed.
    assert 1 <= statements[query("keys/find_api_keys").text] <= 2
    assert statements[query("keys/find_api_key").text] == 0
    assert (await failure(service.get(UNKNOWN))).reason == "ATTACHMENT_NOT_FOUND"


@pytest.mark.exhaustive
async def test_callers_with_different_unknown_keys_are_all_refused_in_time(
    make_service: MakeService, own_postgres: OwnPostgres
) -> None:
    """Each key needs a statement of its own, and there are fewer connections than keys."""
    service = await make_service(
        database_url=SecretStr(own_postgres.url), database_timeout=1.0, key_cache_time=60.0
    )
    await service.start(size_bytes=1)
    request = upb.GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    keys = [f"attk_{number:016x}_{number:064x}" for number in range(CALLERS)]
    with own_postgres.silent():
        async with asyncio.timeout(20):
            found = await refusals(
                *(
                    service.uploads.GetUploadSession(
                        request, metadata=(("authorization", f"Bearer {key}"),)
                    )
                    for key in keys
                )
            )
    assert found == {"DATABASE_UNAVAILABLE": CALLERS}


def every_kind_of_call(service: ServiceUnderTest) -> list[Awaitable[Any]]:
    """One call of each kind that reads or changes something, as a statement or a transaction."""
    who: Any = {"tenant_id": TENANT, "attachment_id": UNKNOWN}
    uploads, attachments, more = service.uploads, service.attachments, service.metadata
    start: Any = {
        "tenant_id": TENANT,
        "filename": "a",
        "content_type": "text/plain",
        "size_bytes": 1,
    }
    resolve: Any = {"tenant_id": TENANT, "attachment_ids": [UNKNOWN]}
    items: Any = [{"attachment_id": UNKNOWN}]
    held = apb.ResolveAttachmentsRequest(**resolve, hold_owner="o")
    held.hold_ttl.FromSeconds(60)
    extend = apb.ExtendHoldRequest(tenant_id=TENANT, hold_id=UNKNOWN)
    extend.ttl.FromSeconds(60)
    return [
        service.start(size_bytes=1),
        uploads.StartUploadSession(
            upb.StartUploadSessionRequest(**start, validate_only=True), metadata=more
        ),
        service.get(UNKNOWN),
        service.complete(UNKNOWN),
        service.cancel(UNKNOWN),
        uploads.BatchCompleteUploadSessions(
            upb.BatchCompleteUploadSessionsRequest(tenant_id=TENANT, items=items),
            metadata=more,
        ),
        uploads.ListUploadSessions(upb.ListUploadSessionsRequest(tenant_id=TENANT), metadata=more),
        uploads.GetUploadPolicy(upb.GetUploadPolicyRequest(tenant_id=TENANT), metadata=more),
        attachments.GetAttachment(apb.GetAttachmentRequest(**who), metadata=more),
        attachments.CreateDownloadUrl(apb.CreateDownloadUrlRequest(**who), metadata=more),
        attachments.DeleteAttachment(apb.DeleteAttachmentRequest(**who), metadata=more),
        attachments.ResolveAttachments(apb.ResolveAttachmentsRequest(**resolve), metadata=more),
        attachments.ResolveAttachments(held, metadata=more),
        attachments.ExtendHold(extend, metadata=more),
        attachments.ReleaseHold(
            apb.ReleaseHoldRequest(tenant_id=TENANT, hold_id=UNKNOWN), metadata=more
        ),
    ]


async def test_every_kind_of_call_waits_one_database_timeout_and_no_longer(
    make_service: MakeService, own_postgres: OwnPostgres
) -> None:
    """A call waits neither for a connection and then for the statement, nor for a ROLLBACK."""
    service = await make_service(
        database_url=SecretStr(own_postgres.url),
        database_timeout=2.0,
        database_pool_size=20,
        key_cache_time=60.0,
    )
    await service.start(size_bytes=1)

    async def seconds(call: Awaitable[Any]) -> float:
        began = time.monotonic()
        assert (await failure(call)).reason == "DATABASE_UNAVAILABLE"
        return time.monotonic() - began

    with own_postgres.silent():
        waited = await asyncio.gather(*map(seconds, every_kind_of_call(service)))
    assert max(waited) < 3.5, waited
    assert (await failure(service.get(UNKNOWN))).reason == "ATTACHMENT_NOT_FOUND"


@pytest.mark.exhaustive
async def test_a_call_does_not_wait_for_the_answer_to_its_rollback(
    make_service: MakeService, own_postgres: OwnPostgres
) -> None:
    """The server falls silent while a statement of a transaction waits for a lock."""
    service = await make_service(
        database_url=SecretStr(own_postgres.url), database_timeout=3.0, key_cache_time=60.0
    )
    await service.start(size_bytes=1)
    request = apb.ReleaseHoldRequest(tenant_id=TENANT, hold_id=UNKNOWN)
    connection = await asyncpg.connect(own_postgres.url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE holds IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        call = service.attachments.ReleaseHold(request, metadata=service.metadata)
        released = asyncio.ensure_future(failure(call))
        async with asyncio.timeout(2):
            while not await connection.fetchval(BLOCKED):  # noqa: ASYNC110
                await asyncio.sleep(0)
        with own_postgres.silent():
            refused = await released
            waited = time.monotonic() - began
    await connection.close()
    assert refused.reason == "DATABASE_UNAVAILABLE"
    assert waited < 4.5


async def test_a_call_with_less_time_than_the_timeout_is_refused_before_its_deadline(
    make_service: MakeService, own_postgres: OwnPostgres
) -> None:
    service = await make_service(
        database_url=SecretStr(own_postgres.url), database_timeout=60.0, key_cache_time=60.0
    )
    request = upb.GetUploadSessionRequest(tenant_id=TENANT, attachment_id=UNKNOWN)
    with own_postgres.silent():
        call = service.uploads.GetUploadSession(request, metadata=service.metadata, timeout=1.0)
        refused = await failure(call)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.reason == "DATABASE_UNAVAILABLE"


async def test_the_statements_of_one_call_share_one_timeout_and_the_outcome_is_not_lost(
    make_service: MakeService,
) -> None:
    """The read of a Complete waits for 2 of 3 s, and its change for a row.

    The caller waits for the remaining second; the change continues afterwards.
    """
    service = await make_service(database_timeout=3.0, key_cache_time=60.0)
    started = await service.start(size_bytes=6)
    assert await service.send(started.target, b"hello\n") < 300
    attachment_id = started.session.attachment_id
    holding, release = asyncio.Event(), asyncio.Event()

    async def hold_row() -> None:
        async with service.row_locked(attachment_id):
            holding.set()
            await release.wait()

    async with service.database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE upload_sessions IN ACCESS EXCLUSIVE MODE")
        holder = asyncio.create_task(hold_row())
        began = time.monotonic()
        call = asyncio.create_task(failure(service.complete(attachment_id)))
        await service.until_blocked(1)
        await connection.execute("SELECT pg_sleep(2)")
    await holding.wait()
    refused = await call
    waited = time.monotonic() - began
    release.set()
    await holder
    assert refused.reason == "DATABASE_UNAVAILABLE"
    assert waited < 4.5
    assert await service.app.background.drain(5)
    assert (await service.get(attachment_id)).state == pb.UPLOAD_SESSION_STATE_READY
