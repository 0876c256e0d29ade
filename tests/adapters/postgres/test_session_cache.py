"""Resolve reads a cached session again once its row has another version or it is not READY."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from attachery_service.aio.lru import LruCache
from attachery_service.app.options import database_options
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.postgres.caches.sessions import SessionCache, VersionedSession
from attachery_service.postgres.database import Database, open_database
from attachery_service.postgres.repositories.sessions import PostgresSessions
from support.service_fixtures import TENANT, ServiceUnderTest


@pytest.fixture
async def database(service: ServiceUnderTest) -> AsyncIterator[Database]:
    async with open_database(database_options(service.settings)) as opened:
        yield opened


async def resolve(sessions: PostgresSessions, attachment_id: str) -> UploadSession:
    asked = UUID(attachment_id)
    return (await sessions.resolve(TENANT, [asked]))[asked]


async def version_of(service: ServiceUnderTest, attachment_id: str) -> int:
    version: int = await service.database.fetchval(
        "SELECT xmin::text::bigint FROM upload_sessions WHERE attachment_id = $1", attachment_id
    )
    return version


async def test_an_unchanged_row_is_served_from_the_cache_with_a_new_read_time(
    service: ServiceUnderTest, database: Database
) -> None:
    sessions = PostgresSessions(database, SessionCache())
    attachment_id = await service.ready()
    first, second = await resolve(sessions, attachment_id), await resolve(sessions, attachment_id)
    assert second.declaration is first.declaration
    assert second.read_time > first.read_time
    assert second == replace(first, read_time=second.read_time)
    await service.age(attachment_id, timedelta(minutes=1))
    third = await resolve(sessions, attachment_id)
    assert third.declaration is not first.declaration
    assert third.create_time == first.create_time - timedelta(minutes=1)


async def test_a_cached_session_is_deleted_once_its_purge_time_passes_without_a_write(
    service: ServiceUnderTest, database: Database
) -> None:
    cache = SessionCache()
    sessions = PostgresSessions(database, cache)
    attachment_id = await service.ready()
    before = await resolve(sessions, attachment_id)
    await service.age(attachment_id, timedelta(hours=1))
    # As if the row had been read before its time came.
    version = await version_of(service, attachment_id)
    assert isinstance(before, VersionedSession)
    cache.put(replace(before, row_version=version))
    (found,) = cache.find(TENANT, [UUID(attachment_id)])
    assert found
    assert found.row_version == version
    assert (await resolve(sessions, attachment_id)).state is SessionState.DELETED


@pytest.mark.parametrize(
    "metadata",
    [{f"key-{n}": "" for n in range(20)}, {"key": "v" * 512, "other": "v" * 10}],
    ids=["many_pairs", "long_values"],
)
async def test_a_session_with_much_metadata_is_not_cached(
    service: ServiceUnderTest, database: Database, metadata: dict[str, str]
) -> None:
    sessions = PostgresSessions(database, SessionCache())
    attachment_id = await service.ready(metadata=metadata)
    first, second = await resolve(sessions, attachment_id), await resolve(sessions, attachment_id)
    assert second.declaration is not first.declaration
    assert second == replace(first, read_time=second.read_time)


async def test_a_pending_session_is_not_cached(
    service: ServiceUnderTest, database: Database
) -> None:
    cache = SessionCache()
    attachment_id = (await service.start(size_bytes=1)).session.attachment_id
    pending = await resolve(PostgresSessions(database, cache), attachment_id)
    assert pending.state is SessionState.PENDING
    assert cache.find(TENANT, [UUID(attachment_id)]) == [None]


async def test_without_a_cache_every_row_is_read(
    service: ServiceUnderTest, database: Database
) -> None:
    sessions = PostgresSessions(database)
    attachment_id = await service.ready()
    first, second = await resolve(sessions, attachment_id), await resolve(sessions, attachment_id)
    assert second.declaration is not first.declaration


def test_the_least_recently_used_value_is_evicted() -> None:
    recent = LruCache[str, int](2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    recent.put("a", 4)
    assert [recent.get(key) for key in "abc"] == [4, None, 3]
