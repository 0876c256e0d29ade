"""The server's use cases, each with the adapters that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uuid_utils.compat import uuid7

from attachery_service.app.options import common_limits
from attachery_service.app.parts import Core, audit_of, policies_of, upload_verifier
from attachery_service.domain.policy import Policy
from attachery_service.domain.sessions import Seal
from attachery_service.ports.credentials import TokenVerifier
from attachery_service.ports.rates import RateLimiter
from attachery_service.postgres.caches.keys import KeyCache, RevocationCache, TokenKeyCache
from attachery_service.postgres.caches.sessions import SessionCache
from attachery_service.postgres.repositories.api_keys import PostgresApiKeys
from attachery_service.postgres.repositories.batches import PostgresBatches
from attachery_service.postgres.repositories.connections import PostgresConnections
from attachery_service.postgres.repositories.holds import PostgresHolds
from attachery_service.postgres.repositories.sessions import PostgresSessions
from attachery_service.postgres.repositories.token_keys import PostgresTokenKeys
from attachery_service.postgres.repositories.usage import PostgresUsage
from attachery_service.rpc.accept.admission import Admission
from attachery_service.rpc.accept.concurrency_limit import ConcurrencyLimit
from attachery_service.rpc.messages.response_size import ResponseSize
from attachery_service.rpc.metrics import RpcMetrics
from attachery_service.rpc.pipeline.parts import PipelineParts
from attachery_service.rpc.server import ServerParts
from attachery_service.rpc.services.access import AccessUseCases
from attachery_service.rpc.services.admin import AdminUseCases
from attachery_service.rpc.services.attachments import AttachmentUseCases
from attachery_service.rpc.services.health import Health
from attachery_service.rpc.services.upload_sessions import UploadSessionUseCases
from attachery_service.rpc.status import DOCS_URL
from attachery_service.s3.objects import S3ObjectStore
from attachery_service.s3.signing.urls import S3TargetSigner
from attachery_service.settings.peers import read_peers
from attachery_service.settings.quotas import read_quotas
from attachery_service.usecases.attachments.create_download_url import CreateDownloadUrl
from attachery_service.usecases.attachments.delete_attachment import DeleteAttachment
from attachery_service.usecases.attachments.get_attachment import GetAttachment
from attachery_service.usecases.attachments.resolve_attachments import ResolveAttachments
from attachery_service.usecases.attachments.update_attachment import UpdateAttachment
from attachery_service.usecases.audit.audit_attachments import AuditAttachments
from attachery_service.usecases.holds.extend_hold import ExtendHold
from attachery_service.usecases.holds.get_hold import GetHold
from attachery_service.usecases.holds.list_holds import ListHolds
from attachery_service.usecases.holds.release_hold import ReleaseHold
from attachery_service.usecases.identity.authenticate import Authenticate
from attachery_service.usecases.identity.connection_tokens import (
    CreateConnectionToken,
    ReadConnectionToken,
    RevokeConnectionTokens,
)
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
from attachery_service.usecases.uploads.upload_verifier import UploadVerifier


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a server that its use cases share."""

    core: Core
    seal: Seal
    health: Health
    limiter: RateLimiter
    verifier: TokenVerifier | None


@dataclass(frozen=True, slots=True)
class _Adapters:
    """Adapters and values that several use cases share."""

    session_cache: SessionCache | None
    sessions: PostgresSessions
    holds: PostgresHolds
    objects: S3ObjectStore
    signer: S3TargetSigner
    policies: Mapping[str, Policy]
    verifier: UploadVerifier
    token_keys: TokenKeyCache
    connections: PostgresConnections

    @property
    def session_tokens(self) -> SessionTokens:
        return SessionTokens(self.token_keys)


def wire(parts: Parts) -> ServerParts:
    """Builds the server's use cases. Raises SettingsFileError, OSError."""
    core, settings = parts.core, parts.core.settings
    adapters = _adapters(core)
    return ServerParts(
        uploads=_uploads(parts, adapters),
        attachments=_attachments(parts, adapters),
        admin=AdminUseCases(
            audit_attachments=AuditAttachments(audit_of(settings, core.database, core.storage))
        ),
        access=AccessUseCases(
            CreateConnectionToken(adapters.connections),
            RevokeConnectionTokens(adapters.connections),
            adapters.policies,
        ),
        pipeline=_pipeline(parts, adapters),
        health=parts.health,
        bucket=settings.s3_bucket,
        results=adapters.session_cache,
        reflection=settings.reflection,
        accept_prefetch=settings.grpc_accept_prefetch,
        max_streams=settings.grpc_max_streams,
    )


def _adapters(core: Core) -> _Adapters:
    settings, policies = core.settings, policies_of(core.settings)
    cache = SessionCache() if settings.resolve_reuse else None
    return _Adapters(
        session_cache=cache,
        sessions=PostgresSessions(core.database, cache, coalesce=settings.database_coalesce),
        holds=PostgresHolds(core.database, cache),
        objects=S3ObjectStore(core.storage),
        signer=S3TargetSigner(core.storage),
        policies=policies,
        verifier=upload_verifier(core, policies),
        token_keys=TokenKeyCache(PostgresTokenKeys(core.database), settings.key_cache_time),
        connections=PostgresConnections(core.database),
    )


def _uploads(parts: Parts, adapters: _Adapters) -> UploadSessionUseCases:
    core, sessions, verifier = parts.core, adapters.sessions, adapters.verifier
    quotas = read_quotas(core.settings.quotas, common_limits(core.settings))
    return UploadSessionUseCases(
        start=StartUploadSession(
            sessions,
            adapters.signer,
            quotas,
            parts.seal,
            uuid7,
            adapters.session_tokens,
        ),
        complete=CompleteUploadSession(sessions, verifier, core.background),
        batch_complete=BatchCompleteUploadSessions(
            PostgresBatches(core.database), verifier, core.background, ResponseSize()
        ),
        cancel=CancelUploadSession(sessions, verifier.reaper, core.background),
        get=GetUploadSession(sessions),
        list=ListUploadSessions(sessions, ResponseSize()),
        get_policy=GetUploadPolicy(PostgresUsage(core.database), adapters.policies, quotas),
    )


def _attachments(parts: Parts, adapters: _Adapters) -> AttachmentUseCases:
    sessions, holds, signer = adapters.sessions, adapters.holds, adapters.signer
    return AttachmentUseCases(
        get=GetAttachment(sessions),
        resolve=ResolveAttachments(sessions, holds, signer, uuid7),
        create_download_url=CreateDownloadUrl(sessions, adapters.objects, signer),
        update=UpdateAttachment(sessions, adapters.policies, parts.core.background),
        delete=DeleteAttachment(sessions, adapters.verifier.reaper, parts.core.background),
        get_hold=GetHold(holds),
        list_holds=ListHolds(holds),
        extend_hold=ExtendHold(holds),
        release_hold=ReleaseHold(holds, adapters.policies),
    )


def _pipeline(parts: Parts, adapters: _Adapters) -> PipelineParts:
    core, settings = parts.core, parts.core.settings
    keys = KeyCache(PostgresApiKeys(core.database), settings.key_cache_time)
    docs_url = settings.docs_url or DOCS_URL
    revocations = RevocationCache(adapters.connections, settings.key_cache_time)
    read_connection_token = ReadConnectionToken(adapters.token_keys, revocations)
    return PipelineParts(
        Authenticate(keys, adapters.session_tokens, read_connection_token, parts.verifier),
        read_peers(settings.peers),
        parts.limiter,
        RpcMetrics(core.registry),
        Admission(
            ConcurrencyLimit() if settings.load_shedding else None,
            core.registry,
            docs_url,
        ),
        settings.max_call_time,
        docs_url,
    )
