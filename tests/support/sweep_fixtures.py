"""Single rounds of the sweep, run by the test beside a service."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from attachery_service.app.options import database_options, storage_options
from attachery_service.app.parts import Core
from attachery_service.app.worker import sweep_of
from attachery_service.domain.sweeping import SweepEvent
from attachery_service.observability.storage_contradictions import Disagreements
from attachery_service.postgres.database import open_database
from attachery_service.s3.client import open_storage
from attachery_service.settings.service import Settings
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.maintenance.sweep import Sweep, SweepResult
from attachery_service.worker.sweep import SweepMetrics
from support.service_fixtures import ServiceUnderTest


@dataclass
class Sweeper:
    """A worker without its timer."""

    sweep: Sweep
    background: BackgroundTasks
    registry: CollectorRegistry

    async def __call__(self) -> SweepResult:
        done = await self.sweep()
        assert await self.background.drain(5)
        return done

    def counts(self) -> Counter[str]:
        """The non-zero counts so far, by the names of the metric."""
        found = Counter[str]()
        for event in SweepEvent:
            labels = {"what": event.value}
            found[event] += int(
                self.registry.get_sample_value("attachery_sweep_sessions_total", labels) or 0
            )
        return +found


@asynccontextmanager
async def opened_sweeper(settings: Settings) -> AsyncIterator[Sweeper]:
    registry, bugs = CollectorRegistry(), list[BaseException]()
    background = BackgroundTasks(bugs.append, 5.0)
    async with (
        open_database(database_options(settings)) as database,
        open_storage(storage_options(settings)) as storage,
    ):
        core = Core(settings, database, storage, background, registry, Disagreements(registry))
        yield Sweeper(sweep_of(core, SweepMetrics(registry)), background, registry)
        assert await background.drain(5)
    assert not bugs


@pytest.fixture
async def sweeper(service: ServiceUnderTest) -> AsyncIterator[Sweeper]:
    async with opened_sweeper(service.settings) as opened:
        yield opened
