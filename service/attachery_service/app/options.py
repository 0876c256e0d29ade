"""Options of the adapters, read from the settings."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from prometheus_client import CollectorRegistry

from attachery_service.domain.quota import Limits
from attachery_service.domain.rates import Category, RateLimit
from attachery_service.ports.credentials import TokenVerifier
from attachery_service.ports.rates import RateLimiter
from attachery_service.postgres.database import DatabaseOptions
from attachery_service.ratelimit.limiter import open_rate_limiter
from attachery_service.rpc.tls import TlsFiles
from attachery_service.s3.client import StorageOptions
from attachery_service.settings.service import Settings, scope_map


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


def rate_limiter(
    settings: Settings, registry: CollectorRegistry
) -> AbstractAsyncContextManager[RateLimiter]:
    """Open the limiter of the settings' rates, in Redis if the settings name one."""
    texts = {
        Category.READ: settings.rate_limit_read,
        Category.WRITE: settings.rate_limit_write,
        Category.RESOLVE: settings.rate_limit_resolve,
    }
    limits = {category: RateLimit.parse(text) for category, text in texts.items() if text}
    store = settings.rate_limit_store
    return open_rate_limiter(limits, store.get_secret_value() if store else None, registry)


def token_verifier(settings: Settings) -> AbstractAsyncContextManager[TokenVerifier | None]:
    """Open the verifier of the issuer's JSON Web Tokens; None without an issuer."""
    if not (settings.jwt_issuer and settings.jwt_audience and settings.jwt_jwks):
        return nullcontext()
    # Imported here: with the cryptography it takes 9 MB that a service without tokens saves.
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


def common_limits(settings: Settings) -> Limits:
    return Limits(
        max_pending_sessions=settings.max_pending_sessions,
        max_pending_bytes=settings.max_pending_bytes,
        max_stored_bytes=settings.max_stored_bytes,
        max_attachments=settings.max_attachments,
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
