"""The statement of an update judges the row by the database's clock, when it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from attachery_service.app.options import database_options
from attachery_service.domain.updates import PurgeTimes, Update
from attachery_service.postgres.database import open_database
from attachery_service.postgres.repositories.sessions import PostgresSessions
from support.service_fixtures import TENANT, ServiceUnderTest

RETENTION = Update(
    paths={"object_retention"},
    filename=None,
    content_id=None,
    disposition=None,
    is_inline=None,
    metadata=None,
    object_retention=timedelta(hours=2),
    metadata_retention=None,
    expected_revision=None,
)


@pytest.fixture
async def sessions(service: ServiceUnderTest) -> AsyncIterator[PostgresSessions]:
    async with open_database(database_options(service.settings)) as opened:
        yield PostgresSessions(opened)


@pytest.mark.parametrize(("left", "updates"), [(-1, False), (60, True)])
async def test_a_purge_time_that_has_passed_since_it_was_judged_changes_nothing(
    service: ServiceUnderTest, sessions: PostgresSessions, left: int, updates: bool
) -> None:
    attachment_id = await service.ready(object_retention=timedelta(days=1))
    await service.age(attachment_id, timedelta(hours=2))
    purge_times = PurgeTimes(datetime.now(UTC) + timedelta(seconds=left), None)
    updated = await sessions.update(
        TENANT, UUID(attachment_id), None, "tester", update=RETENTION, purge_times=purge_times
    )
    assert (updated is not None) == updates
    assert (await service.get(attachment_id)).revision == (3 if updates else 2)
