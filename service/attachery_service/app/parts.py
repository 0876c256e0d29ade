"""Parts that the server, the worker and the commands have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from prometheus_client import CollectorRegistry

from attachery_service.app.options import database_options, storage_options
from attachery_service.domain.errors import AttacheryError
from attachery_service.domain.policy import Policy
from attachery_service.media.sniffing import compare_type
from attachery_service.observability.storage_contradictions import Disagreements
from attachery_service.postgres.database import Database, open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.repositories.audit import AuditClocks, PostgresAudit
from attachery_service.s3.client import Storage, open_storage
from attachery_service.s3.listing import S3ObjectListing
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.second_read import S3SecondLook
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.policies import read_policies
from attachery_service.settings.service import Settings
from attachery_service.usecases.audit.audit import Audit
from attachery_service.usecases.audit.comparison import Comparison
from attachery_service.usecases.background_tasks import BackgroundTasks
from attachery_service.usecases.maintenance.sweep import RETRY
from attachery_service.usecases.uploads.checks import Verification
from attachery_service.usecases.uploads.confirmation import Confirmation
from attachery_service.usecases.uploads.object_reaper import ObjectReaper
from attachery_service.usecases.uploads.sealer import Sealer
from attachery_service.usecases.uploads.upload_verifier import UploadVerifier

_log = structlog.get_logger("attachery.app")


@dataclass(frozen=True, slots=True)
class Core:
    """The settings, connections and background tasks of a process."""

    settings: Settings
    database: Database
    storage: Storage
    background: BackgroundTasks
    registry: CollectorRegistry
    disagreements: Disagreements


@asynccontextmanager
async def open_core(settings: Settings) -> AsyncIterator[Core]:
    """Open the database and object storage for the block.

    Raises DatabaseUnavailable, DatabaseMisconfigured, SchemaError, StorageUnavailable.
    """
    async with open_database(database_options(settings)) as database:
        await require_schema(database)
        async with open_storage(storage_options(settings)) as storage:
            background = BackgroundTasks(_log_bug, settings.database_timeout)
            registry = CollectorRegistry()
            yield Core(settings, database, storage, background, registry, Disagreements(registry))


def policies_of(settings: Settings) -> Mapping[str, Policy]:
    """Read the policies by purpose. Raises SettingsFileError, OSError."""
    built_in = Policy(max_size=settings.max_size, sniffing=settings.sniffing)
    return read_policies(settings.purposes, built_in)


def upload_verifier(core: Core, policies: Mapping[str, Policy]) -> UploadVerifier:
    objects, signer = S3ObjectStore(core.storage), S3TargetSigner(core.storage)
    return UploadVerifier(
        policies,
        Verification(objects, compare_type),
        Confirmation(Verification(S3SecondLook(core.storage), compare_type), core.disagreements),
        Sealer(objects, signer),
        ObjectReaper(objects, core.background, _log_left_object),
    )


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


async def finish_background(background: BackgroundTasks, seconds: float) -> None:
    """Wait for the background tasks, at most `seconds`."""
    if not await background.drain(seconds):
        _log.warning("work left undone")


def log_wrong_credentials(detail: str | None) -> None:
    """Log credentials that do not work; they may be made valid or replaced while it runs."""
    if detail is not None:
        _log.error("object storage misconfigured", detail=detail)


def _log_left_object(key: str, error: AttacheryError) -> None:
    """Log once per reason and minute: the sweeper deletes the object later, and counts it."""
    _log.warning("object not deleted", key=key, reason=error.reason, repeats=error.reason)


def _log_bug(error: BaseException) -> None:
    _log.error("bug", exc_info=error)
