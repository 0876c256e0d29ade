"""The composition root: the one place that knows every part and puts them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from uuid_utils.compat import uuid7

from attachery_service.aio.background_tasks import Background
from attachery_service.app.parts import (
    Core,
    audit_of,
    intake_of,
    notified,
    policies_of,
    sweeping,
)
from attachery_service.domain.errors import AttacheryError, DatabaseMisconfigured
from attachery_service.domain.quota import Limits
from attachery_service.domain.rates import Category, RateLimit
from attachery_service.domain.sessions import Seal
from attachery_service.observability.http_endpoint import serve_metrics
from attachery_service.observability.storage_contradictions import Disagreements
from attachery_service.ports import RateLimiter, TokenVerifier
from attachery_service.postgres.caches.keys import KeyCache, TokenKeyCache
from attachery_service.postgres.caches.sessions import KnownSessions
from attachery_service.postgres.database import Database, DatabaseOptions, open_database
from attachery_service.postgres.migrate import require_schema
from attachery_service.postgres.repositories.api_keys import PostgresApiKeys
from attachery_service.postgres.repositories.batches import PostgresBatches
from attachery_service.postgres.repositories.holds import PostgresHolds
from attachery_service.postgres.repositories.sessions import PostgresSessions
from attachery_service.postgres.repositories.token_keys import PostgresTokenKeys
from attachery_service.postgres.repositories.usage import PostgresUsage
from attachery_service.ratelimit.limiter import open_rate_limiter
from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.accept.concurrency_limit import ConcurrencyLimit
from attachery_service.rpc.interceptor import Interception
from attachery_service.rpc.messages.response_size import fitting
from attachery_service.rpc.methods import SERVICES
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.server import Server, Wire, start_server
from attachery_service.rpc.services.admin import AdminUseCases
from attachery_service.rpc.services.attachments import AttachmentUseCases
from attachery_service.rpc.services.health import Health
from attachery_service.rpc.services.upload_sessions import UploadSessionUseCases
from attachery_service.rpc.tls import TlsFiles
from attachery_service.s3.bucket.probing import probe, reach
from attachery_service.s3.client import Storage, StorageOptions, open_storage
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.peers import read_peers
from attachery_service.settings.quotas import read_quotas
from attachery_service.settings.service import Settings, scope_map
from attachery_service.usecases.attachments.create_download_url import CreateDownloadUrl
from attachery_service.usecases.attachments.delete_attachment import DeleteAttachment
from attachery_service.usecases.attachments.get_attachment import GetAttachment
from attachery_service.usecases.attachments.resolve_attachments import ResolveAttachments
from attachery_service.usecases.audit.audit_attachments import AuditAttachments
from attachery_service.usecases.holds.extend_hold import ExtendHold
from attachery_service.usecases.holds.release_hold import ReleaseHold
from attachery_service.usecases.identity.authenticate import Authenticate
from attachery_service.usecases.identity.session_tokens import SessionTokens
from attachery_service.usecases.uploads.batch_complete_upload_sessions import (
    BatchCompleteUploadSessions,
)
from attachery_service.usecases.uploads.cancel_upload_session import CancelUploadSession
from attachery_service.usecases.uploads.complete_upload_session import CompleteUploadSession
from attachery_service.usecases.uploads.get_upload_policy import GetUploadPolicy
from attachery_service.usecases.uploads.get_upload_session import GetUploadSession
from attachery_service.usecases.uploads.list_upload_sessions import ListUploadSessions
from attachery_service.usecases.uploads.start_upload_session import StartUploadSession

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
    asks_ahead: bool
    health: Health


@asynccontextmanager
async def open_app(
    settings: Settings, *, with_worker: bool = False, share_port: bool = False
) -> AsyncIterator[App]:
    """Serves until the block is left; then drains and closes everything in reverse order.

    `with_worker`: sweeps, too. `share_port`: others may listen on the same one. Raises
    DatabaseUnavailable, SchemaError, StorageUnavailable, StorageMisconfigured, OSError,
    SettingsFileError, RateLimitStoreError.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_options(settings)))
        await require_schema(database)
        storage = await stack.enter_async_context(open_storage(storage_options(settings)))
        seal = await _choose_seal(settings, storage)
        background, health = Background(_log_bug, settings.database_timeout), Health(SERVICES)
        registry = CollectorRegistry()
        metrics_listen = stack.enter_context(
            serve_metrics(registry, settings.metrics_listen, lambda: health.serving)
        )
        limiter = await stack.enter_async_context(_open_rate_limiter(settings, registry))
        verifier = await stack.enter_async_context(_open_issuer(settings))
        parts = _Parts(
            settings,
            database,
            storage,
            seal,
            background,
            health,
            registry,
            limiter,
            verifier,
            Disagreements(registry),
        )
        server = await start_server(
            _wire(parts), settings.listen, _tls(settings), share_port=share_port
        )
        stack.push_async_callback(_drain, parts, server)
        health.set_serving(serving=True)
        watch = asyncio.create_task(_watch_database(database, health, settings.health_interval))
        stack.callback(watch.cancel)
        if with_worker:
            await stack.enter_async_context(sweeping(_core(parts), registry))
            await stack.enter_async_context(notified(_core(parts), registry))
        host = settings.listen.rpartition(":")[0]
        app = App(
            f"{host}:{server.port}", metrics_listen, seal, background, server.asks_ahead, health
        )
        yield app


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker."""

    metrics_listen: str | None
    notifications_listen: str | None


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[Worker]:
    """Sweeps until the block is left; then ends with the batch at hand.

    Raises DatabaseUnavailable, SchemaError, StorageUnavailable, StorageMisconfigured, OSError,
    SettingsFileError.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_options(settings)))
        await require_schema(database)
        storage = await stack.enter_async_context(open_storage(storage_options(settings)))
        _log_wrong_credentials(await reach(storage))
        registry, health = CollectorRegistry(), Health(())
        background = Background(_log_bug, settings.database_timeout)
        metrics_listen = stack.enter_context(
            serve_metrics(registry, settings.worker_metrics_listen, lambda: health.serving)
        )
        stack.push_async_callback(_finish, background, settings.drain_time)
        core = Core(settings, database, storage, background, Disagreements(registry))
        await stack.enter_async_context(sweeping(core, registry))
        notifications_listen = await stack.enter_async_context(notified(core, registry))
        health.set_serving(serving=True)
        watch = asyncio.create_task(_watch_database(database, health, settings.health_interval))
        _log.info("sweeping", metrics=metrics_listen, notifications=notifications_listen)
        yield Worker(metrics_listen, notifications_listen)
        _log.info("draining")
        watch.cancel()
        health.set_serving(serving=False)


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
        fast=settings.s3_fast,
    )


def _open_rate_limiter(
    settings: Settings, registry: CollectorRegistry
) -> AbstractAsyncContextManager[RateLimiter]:
    texts = {
        Category.READ: settings.rate_limit_read,
        Category.WRITE: settings.rate_limit_write,
        Category.RESOLVE: settings.rate_limit_resolve,
    }
    limits = {category: RateLimit.parse(text) for category, text in texts.items() if text}
    store = settings.rate_limit_store
    return open_rate_limiter(limits, store.get_secret_value() if store else None, registry)


def _open_issuer(settings: Settings) -> AbstractAsyncContextManager[TokenVerifier | None]:
    if not (settings.jwt_issuer and settings.jwt_audience and settings.jwt_jwks):
        return nullcontext()
    # 9 MB, with the cryptography, for those who do not want it.
    from attachery_service.jwt.claims import ClaimNames  # noqa: PLC0415
    from attachery_service.jwt.verifier import IssuerOptions, open_issuer  # noqa: PLC0415

    options = IssuerOptions(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=tuple(settings.jwt_algorithms.split(",")),
        keys=settings.jwt_jwks,
        names=ClaimNames(
            name=settings.jwt_name_claim,
            tenants=settings.jwt_tenants_claim,
            scopes=settings.jwt_scopes_claim,
            renamed=scope_map(settings.jwt_scope_map),
        ),
    )
    return open_issuer(options)


async def _choose_seal(settings: Settings, storage: Storage) -> Seal:
    if settings.seal != "auto":
        _log_wrong_credentials(await reach(storage))
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
    limiter: RateLimiter
    verifier: TokenVerifier | None
    disagreements: Disagreements


def _core(parts: _Parts) -> Core:
    return Core(
        parts.settings, parts.database, parts.storage, parts.background, parts.disagreements
    )


def _wire(parts: _Parts) -> Wire:
    settings, background = parts.settings, parts.background
    known = KnownSessions() if settings.resolve_reuse else KnownSessions(0)
    sessions = PostgresSessions(parts.database, known, coalesce=settings.database_coalesce)
    holds = PostgresHolds(parts.database, known)
    policies = policies_of(settings)
    quotas = read_quotas(settings.quotas, _common_limits(settings))
    objects, signer = S3ObjectStore(parts.storage), S3TargetSigner(parts.storage)
    intake = intake_of(_core(parts), policies)
    disposal = intake.disposal
    tokens = SessionTokens(
        TokenKeyCache(PostgresTokenKeys(parts.database), settings.key_cache_time)
    )
    return Wire(
        uploads=UploadSessionUseCases(
            start=StartUploadSession(sessions, signer, policies, quotas, parts.seal, uuid7, tokens),
            complete=CompleteUploadSession(sessions, intake, background),
            batch_complete=BatchCompleteUploadSessions(
                PostgresBatches(parts.database), intake, background
            ),
            cancel=CancelUploadSession(sessions, disposal, background),
            get=GetUploadSession(sessions),
            list=ListUploadSessions(sessions, fitting),
            get_policy=GetUploadPolicy(PostgresUsage(parts.database), policies, quotas),
        ),
        attachments=AttachmentUseCases(
            get=GetAttachment(sessions),
            resolve=ResolveAttachments(sessions, holds, signer, uuid7),
            create_download_url=CreateDownloadUrl(sessions, objects, signer),
            delete=DeleteAttachment(sessions, disposal, background),
            extend_hold=ExtendHold(holds),
            release_hold=ReleaseHold(holds, policies),
        ),
        admin=AdminUseCases(
            audit_attachments=AuditAttachments(audit_of(settings, parts.database, parts.storage))
        ),
        interception=_interception(parts, tokens),
        health=parts.health,
        bucket=settings.s3_bucket,
        reuse_encoded=settings.resolve_reuse,
        reflection=settings.reflection,
        ask_ahead=settings.grpc_ask_ahead,
        max_streams=settings.grpc_max_streams,
    )


def _interception(parts: _Parts, tokens: SessionTokens) -> Interception:
    settings = parts.settings
    keys = KeyCache(PostgresApiKeys(parts.database), settings.key_cache_time)
    return Interception(
        Authenticate(keys, tokens, parts.verifier),
        read_peers(settings.peers),
        parts.limiter,
        RpcMetrics(parts.registry),
        Admission(ConcurrencyLimit() if settings.load_shedding else None, parts.registry),
        settings.max_call_time,
    )


def _common_limits(settings: Settings) -> Limits:
    return Limits(
        max_pending_sessions=settings.max_pending_sessions,
        max_pending_bytes=settings.max_pending_bytes,
        max_stored_bytes=settings.max_stored_bytes,
    )


def _tls(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


async def _drain(parts: _Parts, server: Server) -> None:
    """Sets health to NOT_SERVING, gives balancers time to notice, then waits for the calls at work
    and their background tasks."""
    settings, loop = parts.settings, asyncio.get_running_loop()
    _log.info("draining")
    parts.health.set_serving(serving=False)
    await asyncio.sleep(settings.drain_delay)
    end = loop.time() + settings.drain_time
    if late := await server.stop(settings.drain_time):
        _log.warning("calls cut off", calls=late, drain_time=settings.drain_time)
    await _finish(parts.background, max(end - loop.time(), _LAST_WORD))


async def _finish(background: Background, seconds: float) -> None:
    if not await background.drain(seconds):
        _log.warning("work left undone")


async def _watch_database(database: Database, health: Health, interval: float) -> None:
    """Keeps health in step with the database, without which no call can be answered."""
    while True:
        await asyncio.sleep(interval)
        fault = await _database_fault(database)
        if health.serving and fault is not None:
            _log_database_fault(fault)
        elif not health.serving and fault is None:
            _log.info("database available")
        health.set_serving(serving=fault is None)


def _log_wrong_credentials(detail: str | None) -> None:
    """Does not keep the service from starting: keys may be made valid, or exchanged, meanwhile."""
    if detail is not None:
        _log.error("object storage misconfigured", detail=detail)


def _log_database_fault(fault: BaseException) -> None:
    wrong = isinstance(fault, DatabaseMisconfigured)
    facts = fault.facts if isinstance(fault, AttacheryError) else {}
    cause = fault.__cause__ or fault
    log = _log.error if wrong else _log.warning
    log(
        "database misconfigured" if wrong else "database unavailable",
        cause=type(cause).__name__,
        **facts,
    )


async def _database_fault(database: Database) -> BaseException | None:
    try:
        await database.row("SELECT 1")
    except Exception as error:  # whatever it is, no call can be answered
        return error
    return None


def _log_bug(error: BaseException) -> None:
    _log.error("bug", exc_info=error)
