"""The database rejects impossible rows, and every use case is one statement."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration

from attachery.v1 import attachments_pb2 as apb
from attachery_service.postgres.database import Database
from attachery_service.postgres.migrate import known_migrations
from attachery_service.postgres.queries import Query, query
from support.service_fixtures import TENANT, ServiceUnderTest

UNKNOWN = "01890000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "change",
    [
        "state = 'ready'",
        "state = 'failed'",
        "complete_time = now()",
        "sealed_key = 'k'",
        "failure_reason = 'SIZE_MISMATCH'",
        "state = 'ready', complete_time = now(), sealed_key = 'k', sealed_etag = 'e'",
        "declared_size = -1",
        "declared_size = max_size + 1",
        "expire_time = create_time",
        "object_purge_time = expire_time - interval '1 s'",
        "metadata_purge_time = object_purge_time - interval '1 s'",
        "revision = 0",
        "booking = NULL",
        "usage_shard = 16",
        "reserved_bytes = 2",
        "booking = 'stored'",
    ],
)
@pytest.mark.sample(3)
async def test_an_impossible_row_cannot_be_stored(service: ServiceUnderTest, change: str) -> None:
    await service.start(size_bytes=1)
    with pytest.raises(asyncpg.CheckViolationError):
        await service.database.execute(f"UPDATE upload_sessions SET {change}")  # noqa: S608


@pytest.mark.parametrize(
    "change",
    [
        "pending_sessions = -1",
        "pending_bytes = -1",
        "stored_bytes = -1",
        "pending_sessions = 0, pending_bytes = 1",
        "attachments = -1",
        "shard = 16",
    ],
)
@pytest.mark.sample(2)
async def test_an_impossible_count_cannot_be_stored(service: ServiceUnderTest, change: str) -> None:
    await service.start(size_bytes=1)
    with pytest.raises(asyncpg.CheckViolationError):
        await service.database.execute(f"UPDATE tenant_usage SET {change}")  # noqa: S608


async def test_every_table_of_tenants_is_keyed_by_tenant_first(service: ServiceUnderTest) -> None:
    rows = await service.database.fetch(
        """
        SELECT c.relname AS name, a.attname AS first
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indrelid
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace
        """
    )
    first = {row["name"]: row["first"] for row in rows}
    exempt = {"schema_migrations", "api_keys", "session_token_keys"}
    assert set(first) > exempt
    assert {first[table] for table in set(first) - exempt} == {"tenant_id"}


@pytest.mark.parametrize(
    "name",
    [
        "sessions/cancel",
        "sessions/delete",
        "sessions/list",
        "sessions/resolve",
        "holds/take",
        "holds/extend",
        "holds/settle",
        "holds/lock",
        "holds/lock_of_owner",
        "holds/lock_attachments",
        "holds/release",
        "connections/issue_time",
        "connections/revoke",
        "connections/find_revoke_time",
        "usage/open",
        "usage/open_purpose",
        "usage/release_due",
        "usage/find",
    ],
)
def test_every_statement_of_one_tenant_names_it(name: str) -> None:
    statement = query(name)
    number = 1 + statement.parameters.index("tenant_id")
    assert re.search(rf"tenant_id = \${number}\b|SELECT \${number},", statement.text)
    assert statement.text.count(";") == 0


@pytest.mark.parametrize(
    ("name", "elements"),
    [("sessions/find", "w"), ("sessions/complete", "w"), ("usage/rebalance", "w")],
)
def test_every_statement_of_many_tenants_takes_the_tenant_of_each_element(
    name: str, elements: str
) -> None:
    text = query(name).text
    assert "tenant_id text" in text
    assert f"tenant_id = {elements}.tenant_id" in text
    assert text.count(";") == 0


async def test_each_rpc_is_one_statement(
    service: ServiceUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []

    def counted(real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(self: Database, statement: Query, **values: object) -> Any:
            statements.append(statement.text)
            return await real(self, statement, **values)

        return run

    started = await service.start(size_bytes=1)
    await service.send(started.target, b"x")
    attachment_id, other = started.session.attachment_id, (await service.start()).session
    resolve = apb.ResolveAttachmentsRequest(
        tenant_id=TENANT, attachment_ids=[UNKNOWN] * 999 + [attachment_id]
    )
    calls: dict[str, tuple[int, Callable[[], Awaitable[Any]]]] = {
        "start": (1, lambda: service.start(size_bytes=1, request_id="r-1")),
        "get": (1, lambda: service.get(attachment_id)),
        # Complete reads before its storage requests, and changes the row afterwards.
        "complete": (2, lambda: service.complete(attachment_id, request_id="r-1")),
        "cancel": (1, lambda: service.cancel(other.attachment_id)),
        "resolve": (
            1,
            lambda: service.attachments.ResolveAttachments(resolve, metadata=service.metadata),
        ),
    }
    holding = apb.ResolveAttachmentsRequest(
        tenant_id=TENANT,
        attachment_ids=resolve.attachment_ids,
        hold_ttl=Duration(seconds=7200),
        hold_owner="job",
    )
    calls["hold"] = (
        1,
        lambda: service.attachments.ResolveAttachments(holding, metadata=service.metadata),
    )
    # The first call has looked the key up; keep it cached for the others.
    monkeypatch.setattr(Database, "row", counted(Database.row))
    monkeypatch.setattr(Database, "rows", counted(Database.rows))
    for name, (most, call) in calls.items():
        statements.clear()
        await call()
        of_sessions = [s for s in statements if "upload_sessions" in s]
        assert len(of_sessions) == most, name
    answer = await calls["resolve"][1]()
    assert answer.results[-1].attachment.attachment_id == attachment_id


def test_migrations_are_numbered_without_a_gap() -> None:
    versions = [migration.version for migration in known_migrations()]
    assert versions == list(range(1, len(versions) + 1))
