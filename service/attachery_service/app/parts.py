"""What more than one of the processes is put together from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry

from attachery_service.aio.background_tasks import Background
from attachery_service.domain.errors import AttacheryError
from attachery_service.domain.identity import SERVICE
from attachery_service.domain.policy import Policy
from attachery_service.media.sniffing import compare_type
from attachery_service.observability.storage_contradictions import log_disagreement
from attachery_service.postgres.database import Database
from attachery_service.postgres.repositories.audit import AuditClocks, PostgresAudit
from attachery_service.postgres.repositories.sessions import PostgresSessions
from attachery_service.postgres.repositories.sweep import PostgresSweep
from attachery_service.s3.client import Storage
from attachery_service.s3.listing import S3ObjectListing
from attachery_service.s3.notifications.events import EventReader
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.second_read import S3SecondLook
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.policies import read_policies
from attachery_service.settings.service import Settings
from attachery_service.usecases.audit.audit import Audit
from attachery_service.usecases.audit.comparison import Comparison
from attachery_service.usecases.maintenance.handle_object_created import NoticeArrival
from attachery_service.usecases.maintenance.sweep import RETRY, Sweep
from attachery_service.usecases.uploads.auto_complete import AutoComplete
from attachery_service.usecases.uploads.checks import Verification
from attachery_service.usecases.uploads.complete_upload_session import CompleteUploadSession
from attachery_service.usecases.uploads.confirmation import Confirmation, OnDisagreement
from attachery_service.usecases.uploads.object_reaper import Disposal
from attachery_service.usecases.uploads.sealing import Sealing
from attachery_service.usecases.uploads.upload_verifier import Intake
from attachery_service.worker.loop import repeating
from attachery_service.worker.object_created_queue import Arrivals, NotificationMetrics
from attachery_service.worker.sweep import SweepMetrics, SweepWork

_log = structlog.get_logger("attachery.app")


@dataclass(frozen=True, slots=True)
class Core:
    """What every process has.

    `on_disagreement` is called when object storage contradicts itself about an upload.
    """

    settings: Settings
    database: Database
    storage: Storage
    background: Background
    on_disagreement: OnDisagreement = log_disagreement


def policies_of(settings: Settings) -> Mapping[str, Policy]:
    """The policies by purpose. Raises SettingsFileError, OSError."""
    built_in = Policy(max_size=settings.max_size, sniffing=settings.sniffing)
    return read_policies(settings.purposes, built_in)


def intake_of(core: Core, policies: Mapping[str, Policy]) -> Intake:
    objects, signer = S3ObjectStore(core.storage), S3TargetSigner(core.storage)
    return Intake(
        policies,
        Verification(objects, compare_type),
        Confirmation(Verification(S3SecondLook(core.storage), compare_type), core.on_disagreement),
        Sealing(objects, signer),
        Disposal(objects, core.background, _log_left_object),
    )


def auto_complete_of(core: Core) -> AutoComplete:
    """Raises SettingsFileError, OSError."""
    sessions = PostgresSessions(core.database)
    intake = intake_of(core, policies_of(core.settings))
    complete = CompleteUploadSession(sessions, intake, core.background)
    return AutoComplete(sessions, complete, _log_auto_complete)


def audit_store_of(settings: Settings, database: Database) -> PostgresAudit:
    clocks = AuditClocks(
        longest_upload=timedelta(seconds=settings.longest_upload),
        longest_call=timedelta(seconds=settings.max_call_time),
        retry_interval=RETRY,
    )
    return PostgresAudit(database, clocks)


def audit_of(settings: Settings, database: Database, storage: Storage) -> Audit:
    store = audit_store_of(settings, database)
    compare = Comparison(store, S3ObjectStore(storage))
    return Audit(store, S3ObjectListing(storage), compare)


def sweep_of(core: Core, metrics: SweepMetrics) -> Sweep:
    """Raises SettingsFileError, OSError."""
    longest_upload = timedelta(seconds=core.settings.longest_upload)
    return Sweep(
        store=PostgresSweep(core.database, longest_upload, RETRY, SERVICE.name),
        objects=S3ObjectStore(core.storage),
        listing=S3ObjectListing(core.storage),
        auto_complete=auto_complete_of(core),
        batch_size=core.settings.sweep_batch,
        observe=metrics.observe,
    )


def sweeping(core: Core, registry: CollectorRegistry) -> AbstractAsyncContextManager[None]:
    """Sweeps for as long as the block runs. Raises SettingsFileError, OSError."""
    metrics, settings = SweepMetrics(registry), core.settings
    work = SweepWork(sweep_of(core, metrics), metrics)
    return repeating("sweep", work, settings.sweep_interval, settings.drain_time)


@asynccontextmanager
async def notified(core: Core, registry: CollectorRegistry) -> AsyncIterator[str | None]:
    """Takes the store's notifications while the block runs, if it should; yields the real address.

    Raises SettingsFileError, OSError.
    """
    settings, token = core.settings, core.settings.notifications_token
    if settings.notifications_listen is None:
        yield None
        return
    # 2 MB, with the HTTP server, for those who do not want it.
    from attachery_service.worker.notification_endpoint import Door, open_door  # noqa: PLC0415

    notice = NoticeArrival(PostgresSessions(core.database), auto_complete_of(core))
    arrivals = Arrivals(notice, NotificationMetrics(registry))
    door = Door(
        arrivals, EventReader(core.storage.options), token.get_secret_value() if token else None
    )
    async with (
        arrivals.being_looked_at(),
        open_door(door, settings.notifications_listen) as address,
    ):
        yield address


def _log_left_object(key: str, error: AttacheryError) -> None:
    """Once per reason and minute: the sweep deletes what is left, and counts it."""
    _log.warning("object not deleted", key=key, reason=error.reason, repeats=error.reason)


def _log_auto_complete(attachment_id: UUID, outcome: str) -> None:
    _log.info("auto-complete", attachment_id=str(attachment_id), outcome=outcome)
