"""The composition root of the worker: the sweep and the notification endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from attachery_service.app.health import database_watched
from attachery_service.app.parts import (
    Core,
    finish_background,
    log_wrong_credentials,
    open_core,
    policies_of,
    upload_verifier,
)
from attachery_service.domain.identity import SERVICE
from attachery_service.observability.http_endpoint import serve_metrics
from attachery_service.postgres.repositories.sessions import PostgresSessions
from attachery_service.postgres.repositories.sweep import PostgresSweep
from attachery_service.rpc.services.health import Health
from attachery_service.s3.bucket.probing import reach
from attachery_service.s3.listing import S3ObjectListing
from attachery_service.s3.notifications.events import EventReader
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.settings.service import Settings
from attachery_service.usecases.maintenance.handle_object_created import HandleObjectCreated
from attachery_service.usecases.maintenance.sweep import RETRY, Sweep
from attachery_service.usecases.uploads.auto_complete import AutoComplete
from attachery_service.usecases.uploads.complete_upload_session import CompleteUploadSession
from attachery_service.worker.loop import repeating
from attachery_service.worker.object_created_queue import NotificationMetrics, ObjectCreatedQueue
from attachery_service.worker.sweep import SweepMetrics, SweepWork

_log = structlog.get_logger("attachery.app")


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker: the addresses on which it listens."""

    metrics_listen: str | None
    notifications_listen: str | None


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Worker]:
    """Run the background jobs during the block; finish the current batch at its end.

    Raises DatabaseUnavailable, SchemaError, StorageUnavailable, StorageMisconfigured, OSError,
    SettingsFileError.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(settings))
        log_wrong_credentials(await reach(core.storage))
        health = Health(())
        metrics_listen = stack.enter_context(
            serve_metrics(core.registry, settings.worker_metrics_listen, lambda: health.serving)
        )
        stack.push_async_callback(finish_background, core.background, settings.drain_time)
        notifications_listen = await stack.enter_async_context(background_jobs(core))
        async with database_watched(core.database, health, settings.health_interval):
            _log.info("sweeping", metrics=metrics_listen, notifications=notifications_listen)
            yield Worker(metrics_listen, notifications_listen)
            _log.info("draining")
        health.set_serving(serving=False)


@asynccontextmanager
async def background_jobs(core: Core) -> AsyncIterator[str | None]:
    """Sweep and accept notifications during the block; yield the address of notifications.

    Raises SettingsFileError, OSError.
    """
    async with sweeping(core), notified(core) as address:
        yield address


def sweeping(core: Core) -> AbstractAsyncContextManager[None]:
    """Sweep during the block. Raises SettingsFileError, OSError."""
    metrics, settings = SweepMetrics(core.registry), core.settings
    work = SweepWork(sweep_of(core, metrics), metrics)
    return repeating("sweep", work, settings.sweep_interval, settings.drain_time)


@asynccontextmanager
async def notified(core: Core) -> AsyncIterator[str | None]:
    """Accept object storage's notifications during the block, if the settings say so.

    Yields the address with the actual port. Raises SettingsFileError, OSError.
    """
    settings, token = core.settings, core.settings.notifications_token
    if settings.notifications_listen is None:
        yield None
        return
    # Imported here: the HTTP server takes 2 MB that a worker without notifications saves.
    from attachery_service.worker.notification_endpoint import (  # noqa: PLC0415
        NotificationEndpoint,
        open_notification_endpoint,
    )

    queue = _object_created_queue(core)
    events = EventReader(core.storage.options)
    endpoint = NotificationEndpoint(queue, events.read, token.get_secret_value() if token else None)
    async with (
        queue.processing(),
        open_notification_endpoint(endpoint, settings.notifications_listen) as address,
    ):
        yield address


def sweep_of(core: Core, metrics: SweepMetrics) -> Sweep:
    """Build the sweep. Raises SettingsFileError, OSError."""
    longest_upload = timedelta(seconds=core.settings.longest_upload)
    return Sweep(
        store=PostgresSweep(core.database, longest_upload, RETRY, SERVICE.name),
        objects=S3ObjectStore(core.storage),
        listing=S3ObjectListing(core.storage),
        auto_complete=_auto_complete(core),
        batch_size=core.settings.sweep_batch,
        observe=metrics.observe,
    )


def _object_created_queue(core: Core) -> ObjectCreatedQueue:
    handle = HandleObjectCreated(PostgresSessions(core.database), _auto_complete(core))
    return ObjectCreatedQueue(handle, NotificationMetrics(core.registry))


def _auto_complete(core: Core) -> AutoComplete:
    sessions = PostgresSessions(core.database)
    verifier = upload_verifier(core, policies_of(core.settings))
    complete = CompleteUploadSession(sessions, verifier, core.background)
    return AutoComplete(sessions, complete, _log_auto_complete)


def _log_auto_complete(attachment_id: UUID, outcome: str) -> None:
    _log.info("auto-complete", attachment_id=str(attachment_id), outcome=outcome)
