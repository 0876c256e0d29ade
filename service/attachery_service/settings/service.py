"""Settings: read once from `ATTACHERY_*` variables, typed, and refused if contradictory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from attachery_service.domain.identity import Scope
from attachery_service.domain.policy import DEFAULT_MAX_SIZE, Sniffing
from attachery_service.domain.quota import MAX_LIMIT
from attachery_service.domain.rates import RateLimit
from attachery_service.postgres.connection.url import read_database_url
from attachery_service.s3.bucket.endpoint_url import read_endpoint
from attachery_service.settings.process import ProcessSettings
from attachery_service.settings.quantities import AnyCase, Bytes, PositiveSeconds, Seconds

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})")
_MAX_PORT = 65535
_PUBLIC_KEY_ALGORITHMS = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
_REDIS_URL = re.compile(
    r"rediss?://([^\s/?#@]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@]+)(:[0-9]{1,5})?(/[0-9]*)?(\?[^\s#]*)?"
)


def address(text: str) -> str:
    """Validates HOST:PORT. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > _MAX_PORT:
        raise ValueError("must be HOST:PORT")
    return text


def _database_url(secret: SecretStr) -> SecretStr:
    read_database_url(secret.get_secret_value())
    return secret


def _algorithms(text: str) -> str:
    """Permits public-key algorithms only: neither `none` nor a shared secret."""
    if unknown := set(text.split(",")) - _PUBLIC_KEY_ALGORITHMS:
        known = ", ".join(sorted(_PUBLIC_KEY_ALGORITHMS))
        raise ValueError(f"{min(unknown)!r} is none of {known}")
    return text


def scope_map(text: str) -> dict[str, frozenset[Scope]]:
    """Parses comma-separated `THEIRS=OURS`, in which a scope may occur twice. Raises ValueError."""
    granted: dict[str, frozenset[Scope]] = {}
    for pair in text.split(",") if text else ():
        theirs, _, ours = pair.strip().rpartition("=")
        if not theirs or ours not in frozenset(Scope):
            raise ValueError(f"{pair!r} is not THEIRS=OURS, OURS being one of {', '.join(Scope)}")
        granted[theirs] = granted.get(theirs, frozenset()) | {Scope(ours)}
    return granted


def _scope_map(text: str) -> str:
    scope_map(text)
    return text


def _rate_limit(text: str) -> str:
    return str(RateLimit.parse(text))


def _redis_url(secret: SecretStr) -> SecretStr:
    if not _REDIS_URL.fullmatch(secret.get_secret_value()):
        raise ValueError("must be redis://USER:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS")
    return secret


Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
SizeLimit = Annotated[Limit, Bytes]
Address = Annotated[str, AfterValidator(address)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RateLimitText = Annotated[str, AfterValidator(_rate_limit)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(read_endpoint)]
KeySetPlace = Annotated[str, StringConstraints(pattern=r"^(https://[^\s/?#@]+(/\S*)?|[^:]+)$")]
DocsUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s#]{1,500}$")]
Algorithms = Annotated[str, AfterValidator(_algorithms)]
ScopeMap = Annotated[str, AfterValidator(_scope_map)]


class Settings(ProcessSettings):
    """Every setting of the service. An empty variable counts as unset.

    Times are seconds, or texts such as `90s` and `PT10M`; sizes are bytes, or texts such as
    `150MiB` and `10GB`: see quantities.py.

    An unset AWS credential is looked up as every AWS SDK does: environment, profile, role.
    """

    model_config = SettingsConfigDict(
        env_prefix="ATTACHERY_", extra="forbid", frozen=True, env_ignore_empty=True
    )

    listen: Address = Field(
        "127.0.0.1:50051",
        description="HOST:PORT for gRPC; port 0 selects a free one.",
    )
    metrics_listen: Address | None = Field(
        None,
        description="HOST:PORT of `serve` for `/metrics` (Prometheus), `/healthz` and "
        "`/readyz`; off if unset.",
    )
    worker_metrics_listen: Address | None = Field(
        None,
        description="The same for `worker`, so that both commands can run with the same "
        "environment.",
    )
    reflection: bool = Field(
        default=True,
        description="Serve gRPC reflection, for grpcurl and similar tools.",
    )
    grpc_accept_prefetch: bool = Field(
        default=True,
        description="Accept calls as they arrive, from gRPC 1.84 on: a fifth less CPU time "
        "under load, and cheap refusals.",
    )
    grpc_max_streams: int = Field(
        128,
        ge=1,
        le=10_000,
        description="Concurrent calls on one connection. gRPC refuses more "
        "(`REFUSED_STREAM`), or its clients delay them.",
    )
    load_shedding: bool = Field(
        default=True,
        description="Refuse calls that the process cannot answer in time, with `OVERLOADED`.",
    )
    docs_url: DocsUrl | None = Field(
        None,
        description="URL of the page `docs/errors.md` as published, where the links in errors "
        "(`google.rpc.Help`) lead; unset: its path in the repository.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = Field(
        "info",
        description="`debug`, `info`, `warning` or `error`.",
    )

    tls_certificate: Path | None = Field(
        None,
        description="PEM file; with tls_key, serve TLS. Reloaded when it is replaced.",
    )
    tls_key: Path | None = Field(
        None,
        description="PEM file of the certificate's key. Reloaded when it is replaced.",
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file; callers must present a certificate of this authority.",
    )

    database_url: DatabaseUrl = Field(
        description="`postgresql://USER:PASSWORD@HOST:PORT/NAME`, PostgreSQL 15 or newer, "
        "or the URL of a hosting provider.",
    )
    database_pool_size: PositiveInt = Field(
        10,
        description="Connections per process.",
    )
    database_timeout: PositiveSeconds = Field(
        5.0,
        description="Longest wait of one call for the database, over all its statements.",
    )
    database_coalesce: bool = Field(
        default=True,
        description="Concurrent Start, Get and Complete calls share a statement; a single "
        "call does not wait for others.",
    )
    database_prepared_statements: bool = Field(
        default=True,
        description="Set to false behind a transaction-pooling proxy without prepared statements.",
    )

    s3_bucket: str = Field(
        description="An existing bucket.",
    )
    s3_prefix: str = Field(
        "attachery",
        description="Every key begins with it.",
    )
    s3_region: str = Field(
        "us-east-1",
        description="Region of the bucket.",
    )
    s3_endpoint: HttpUrl | None = Field(
        None,
        description="URL of object storage, with its path if it has one "
        "(`https://host/storage/v1/s3`); unset for AWS.",
    )
    s3_public_endpoint: HttpUrl | None = Field(
        None,
        description="URL of object storage for uploaders, if it differs.",
    )
    s3_access_key: str | None = Field(
        None,
        description="With s3_secret_key; unset: environment, profile or role, as every AWS SDK.",
    )
    s3_secret_key: SecretStr | None = Field(
        None,
        description="Secret of s3_access_key.",
    )
    s3_timeout: PositiveSeconds = Field(
        5.0,
        description="Longest wait of one call for object storage, over all its requests "
        "except transfers.",
    )
    s3_transfer_timeout: PositiveSeconds = Field(
        50.0,
        description="Longest wait of one call for copies and reads of whole objects; once "
        "more to confirm a wrong digest.",
    )
    s3_fast: bool = Field(
        default=True,
        description="Sign URLs and read object headers without the AWS SDK, with less CPU "
        "time; false: use the SDK only.",
    )

    seal: Annotated[Literal["auto", "write_once", "copy"], AnyCase] = Field(
        "auto",
        description="`auto` probes the bucket at start-up; `write_once` or `copy` override it.",
    )
    max_size: Annotated[PositiveInt, Bytes] = Field(
        DEFAULT_MAX_SIZE,
        le=5 * 2**30,
        description="Largest upload; S3 accepts 5 GiB in one request.",
    )
    sniffing: Annotated[Sniffing, AnyCase] = Field(
        Sniffing.REPORT,
        description="Use of first bytes that do not show the declared type: `off`, "
        "`report` or `enforce`.",
    )
    purposes: Path | None = Field(
        None,
        description="TOML file of policies; max_size and sniffing apply if it does not set them.",
    )

    rate_limit_read: RateLimitText | None = Field(
        None,
        description="Calls of one principal in one tenant, such as `100/second` (or "
        "`minute`, `hour`, `day`); no limit if unset.",
    )
    rate_limit_write: RateLimitText | None = Field(
        None,
        description="The same for calls that change sessions and attachments.",
    )
    rate_limit_resolve: RateLimitText | None = Field(
        None,
        description="The same for Resolve and calls about holds.",
    )
    rate_limit_store: RedisUrl | None = Field(
        None,
        description="`redis://…` or `rediss://…`, counted together by all processes; needs "
        "the extra `redis`. Unset: each process counts alone.",
    )

    max_pending_sessions: Limit | None = Field(
        None,
        description="Per tenant: sessions with a target that can still write; no limit if unset.",
    )
    max_pending_bytes: SizeLimit | None = Field(
        None,
        description="Per tenant: bytes that these sessions may store, the policy's maximum "
        "if no size is declared.",
    )
    max_stored_bytes: SizeLimit | None = Field(
        None,
        description="Per tenant: bytes of attachments, including pending bytes.",
    )
    max_attachments: Limit | None = Field(
        None,
        description="Per tenant: attachments, including pending sessions. A purpose can have a "
        "limit of its own.",
    )
    quotas: Path | None = Field(
        None,
        description="TOML file of tenants with their own limits.",
    )

    peers: Path | None = Field(
        None,
        description="TOML file of callers identified by their certificate; needs tls_client_ca.",
    )
    jwt_issuer: str | None = Field(
        None,
        description="Issuer of accepted JSON Web Tokens; with jwt_audience and jwt_jwks.",
    )
    jwt_audience: str | None = Field(
        None,
        description="Audience that tokens must have.",
    )
    jwt_jwks: KeySetPlace | None = Field(
        None,
        description="The issuer's public keys: a file or an `https://` URL.",
    )
    jwt_algorithms: Algorithms = Field(
        "RS256,ES256,EdDSA",
        description="Accepted signature algorithms, with public keys only.",
    )
    jwt_name_claim: str = Field(
        "sub",
        description="Claim with the principal's name.",
    )
    jwt_tenants_claim: str = Field(
        "tenants",
        description="Claim with a list of tenants, or `*`.",
    )
    jwt_scopes_claim: str = Field(
        "scope",
        description="Claim with the scopes, a list or words.",
    )
    jwt_scope_map: ScopeMap = Field(
        "",
        description="Scopes granted by the issuer's own scopes: "
        "`files:create=uploads.create,files:create=uploads.complete`.",
    )

    sweep_interval: PositiveSeconds = Field(
        5.0,
        description="Longest pause of a worker between two sweeps.",
    )
    sweep_batch: int = Field(
        25,
        ge=1,
        le=500,
        description="Sessions that a worker sweeps in one statement.",
    )
    longest_upload: PositiveSeconds = Field(
        3600.0,
        description="Longest duration of an upload that began before its URL expired; its "
        "remains are deleted after that.",
    )

    notifications_listen: Address | None = Field(
        None,
        description="HOST:PORT at which a worker receives notifications of object storage; "
        "off if unset.",
    )
    notifications_token: SecretStr | None = Field(
        None,
        description="Token required of object storage there; any sender is accepted if unset.",
    )

    max_call_time: PositiveSeconds = Field(
        60.0,
        description="Longest duration of a call, regardless of its deadline.",
    )
    health_interval: PositiveSeconds = Field(
        2.0,
        description="Interval of the health check of the database; after a failure health "
        "is NOT_SERVING.",
    )
    drain_delay: Seconds = Field(
        0.0,
        description="Delay from NOT_SERVING to refusing calls, for load balancers to notice.",
    )
    drain_time: PositiveSeconds = Field(
        20.0,
        description="Longest wait for unfinished calls at shutdown.",
    )
    key_cache_time: Seconds = Field(
        5.0,
        description="Longest time that a revoked API key stays valid.",
    )
    resolve_reuse: bool = Field(
        default=True,
        description="Answer Resolve from cached rows and bytes if PostgreSQL reports no "
        "change; false: read and encode all.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("ATTACHERY_TLS_CERTIFICATE and ATTACHERY_TLS_KEY go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError(
                "ATTACHERY_TLS_CLIENT_CA needs ATTACHERY_TLS_CERTIFICATE and ATTACHERY_TLS_KEY"
            )
        if self.notifications_token is not None and self.notifications_listen is None:
            raise ValueError("ATTACHERY_NOTIFICATIONS_TOKEN needs ATTACHERY_NOTIFICATIONS_LISTEN")
        if self.peers is not None and self.tls_client_ca is None:
            raise ValueError("ATTACHERY_PEERS needs ATTACHERY_TLS_CLIENT_CA")
        jwt = (self.jwt_issuer, self.jwt_audience, self.jwt_jwks)
        if any(jwt) and not all(jwt):
            raise ValueError(
                "ATTACHERY_JWT_ISSUER, ATTACHERY_JWT_AUDIENCE and ATTACHERY_JWT_JWKS go together"
            )
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("ATTACHERY_S3_ACCESS_KEY and ATTACHERY_S3_SECRET_KEY go together")
        return self
