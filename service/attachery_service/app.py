"""The composition root: the one place that knows every part and puts them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from uuid_utils.compat import uuid7

from attachery_service.background import Background
from attachery_service.config import Settings
from attachery_service.domain.errors import AttacheryError
from attachery_service.domain.policy import DEFAULT_PURPOSE, Policy
from attachery_service.domain.sessions import Seal
from attachery_service.media.sniffing import detect_types
from attachery_service.metrics import serve_metrics
from attachery_service.storage.client import Storage, StorageOptions, open_storage
from attachery_service.storage.objects import S3ObjectStore
from attachery_service.storage.probing import probe, reach
from attachery_service.storage.signing import S3TargetSigner
from attachery_service.store.database import Database, DatabaseOptions, open_database
from attachery_service.store.key_cache import KeyCache
from attachery_service.store.keys import PostgresApiKeys
from attachery_service.store.migrating import require_schema
from attachery_service.store.sessions import PostgresSessions
from attachery_service.usecases.authenticate import Authenticate
from attachery_service.usecases.cancel_upload_session import CancelUploadSession
from attachery_service.usecases.complete_upload_session import CompleteUploadSession
from attachery_service.usecases.create_download_url import CreateDownloadUrl
from attachery_service.usecases.disposal import Disposal
from attachery_service.usecases.get_attachment import GetAttachment
from attachery_service.usecases.get_upload_session import GetUploadSession
from attachery_service.usecases.resolve_attachments import ResolveAttachments
from attachery_service.usecases.sealing import Sealing
from attachery_service.usecases.start_upload_session import StartUploadSession
from attachery_service.usecases.verification import Verification
from attachery_service.wire.attachments import AttachmentUseCases
from attachery_service.wire.health import Health
from attachery_service.wire.interceptor import Interception
from attachery_service.wire.metrics import RpcMetrics
from attachery_service.wire.scopes import SERVICES
from attachery_service.wire.server import Server, Wire, start_server
from attachery_service.wire.tls import TlsFiles
from attachery_service.wire.upload_sessions import UploadSessionUseCases

_log = structlog.get_logger("attachery.app")

# After the last call: for the outcome of one that was cut off while it was being stored.
_LAST_WORD = 1.0


@dataclass(frozen=True, slots=True)
class App:
    """A running service."""

    listen: str
    metrics_listen: str | None
    seal: Seal
    background: Background


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Serves until the block is left; then drains and closes everything in reverse order.

    Raises DatabaseUnavailable, SchemaError, StorageUnavailable, StorageMisconfigured, OSError.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_options(settings)))
        await require_schema(database)
        storage = await stack.enter_async_context(open_storage(storage_options(settings)))
        seal = await _choose_seal(settings, storage)
        background, health = Background(_log_bug), Health(SERVICES)
        registry = CollectorRegistry()
        metrics_listen = stack.enter_context(serve_metrics(registry, settings.metrics_listen))
        parts = _Parts(settings, database, storage, seal, background, health, registry)
        server = await start_server(_wire(parts), settings.listen, _tls(settings))
        stack.push_async_callback(_drain, parts, server)
        health.set_serving(serving=True)
        watch = asyncio.create_task(_watch_database(parts))
        stack.callback(watch.cancel)
        host = settings.listen.rpartition(":")[0]
        app = App(f"{host}:{server.port}", metrics_listen, seal, background)
        _log.info(
            "serving", listen=app.listen, seal=seal.value, tls=settings.tls_certificate is not None
        )
        yield app


def database_options(settings: Settings) -> DatabaseOptions:
    return DatabaseOptions(
        url=settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        statement_timeout=settings.database_timeout,
        prepared_statements=settings.database_prepared_statements,
    )


def storage_options(settings: Settings) -> StorageOptions:
    secret = settings.s3_secret_key
    return StorageOptions(
        bucket=settings.s3_bucket,
        prefix=settings.s3_prefix,
        region=settings.s3_region,
        endpoint=settings.s3_endpoint,
        public_endpoint=settings.s3_public_endpoint,
        access_key=settings.s3_access_key,
        secret_key=secret.get_secret_value() if secret else None,
        operation_timeout=settings.s3_timeout,
        transfer_timeout=settings.s3_transfer_timeout,
    )


async def _choose_seal(settings: Settings, storage: Storage) -> Seal:
    if settings.seal != "auto":
        await reach(storage)
        return Seal(settings.seal)
    return (await probe(storage)).seal


@dataclass(frozen=True, slots=True)
class _Parts:
    settings: Settings
    database: Database
    storage: Storage
    seal: Seal
    background: Background
    health: Health
    registry: CollectorRegistry


def _wire(parts: _Parts) -> Wire:
    settings, background = parts.settings, parts.background
    sessions = PostgresSessions(parts.database)
    policies = {DEFAULT_PURPOSE: Policy(max_size=settings.max_size, sniffing=settings.sniffing)}
    objects, signer = S3ObjectStore(parts.storage), S3TargetSigner(parts.storage)
    disposal = Disposal(objects, background, _log_left_object)
    keys = KeyCache(PostgresApiKeys(parts.database), settings.key_cache_time)
    return Wire(
        uploads=UploadSessionUseCases(
            start=StartUploadSession(sessions, signer, policies, parts.seal, uuid7),
            complete=CompleteUploadSession(
                sessions,
                policies,
                Verification(objects, detect_types),
                Sealing(objects, signer),
                disposal,
                background,
            ),
            cancel=CancelUploadSession(sessions, disposal, background),
            get=GetUploadSession(sessions),
        ),
        attachments=AttachmentUseCases(
            get=GetAttachment(sessions),
            resolve=ResolveAttachments(sessions, signer),
            create_download_url=CreateDownloadUrl(sessions, objects, signer),
        ),
        interception=Interception(
            Authenticate(keys), RpcMetrics(parts.registry), settings.max_call_time
        ),
        health=parts.health,
        reflection=settings.reflection,
    )


def _tls(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


async def _drain(parts: _Parts, server: Server) -> None:
    """Says NOT_SERVING, waits for balancers to notice, then for the calls and what they left."""
    settings, loop = parts.settings, asyncio.get_running_loop()
    _log.info("draining")
    parts.health.set_serving(serving=False)
    await asyncio.sleep(settings.drain_delay)
    end = loop.time() + settings.drain_time
    await server.stop(settings.drain_time)
    if not await parts.background.drain(max(end - loop.time(), _LAST_WORD)):
        _log.warning("work left undone")


async def _watch_database(parts: _Parts) -> None:
    """Keeps health in step with the database, without which no call can be answered."""
    while True:
        await asyncio.sleep(parts.settings.health_interval)
        fault = await _database_fault(parts.database)
        if parts.health.serving and fault is not None:
            _log.warning("database unavailable", cause=type(fault).__name__)
        elif not parts.health.serving and fault is None:
            _log.info("database available")
        parts.health.set_serving(serving=fault is None)


async def _database_fault(database: Database) -> BaseException | None:
    try:
        await database.row("SELECT 1")
    except Exception as error:  # whatever it is, no call can be answered
        return error.__cause__ or error
    return None


def _log_bug(error: BaseException) -> None:
    _log.error("bug", exc_info=error)


def _log_left_object(key: str, error: AttacheryError) -> None:
    _log.warning("object not deleted", key=key, reason=error.reason)
