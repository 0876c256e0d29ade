"""Settings: read once from `ATTACHERY_*` variables, typed, refused at start if they contradict."""

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
    """HOST:PORT. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > _MAX_PORT:
        raise ValueError("must be HOST:PORT")
    return text


def _database_url(secret: SecretStr) -> SecretStr:
    read_database_url(secret.get_secret_value())
    return secret


def _algorithms(text: str) -> str:
    """None of those that need no key, or the same one for signing as for verifying."""
    if unknown := set(text.split(",")) - _PUBLIC_KEY_ALGORITHMS:
        known = ", ".join(sorted(_PUBLIC_KEY_ALGORITHMS))
        raise ValueError(f"{min(unknown)!r} is none of {known}")
    return text


def scope_map(text: str) -> dict[str, frozenset[Scope]]:
    """Of comma-separated `THEIRS=OURS`, where one of theirs may stand twice. Raises ValueError."""
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

    listen: Address = Field("127.0.0.1:50051", description="HOST:PORT for gRPC; port 0 picks one.")
    metrics_listen: Address | None = Field(
        None, description="HOST:PORT of serve for Prometheus and probes; off if unset."
    )
    worker_metrics_listen: Address | None = Field(
        None, description="The same of worker, so that both can run with the same environment."
    )
    reflection: bool = Field(default=True, description="Serve the contract to grpcurl.")
    grpc_accept_prefetch: bool = Field(
        default=True,
        description="Accept calls as they arrive, where this version of gRPC permits it.",
    )
    grpc_max_streams: int = Field(
        128, ge=1, le=10_000, description="Calls at a time on one connection; more are refused."
    )
    load_shedding: bool = Field(
        default=True, description="Refuse calls that the process cannot answer in time."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = "info"

    tls_certificate: Path | None = Field(None, description="PEM file; with tls_key, serve TLS.")
    tls_key: Path | None = Field(None, description="PEM file.")
    tls_client_ca: Path | None = Field(None, description="PEM file; demand certificates of it.")

    database_url: DatabaseUrl = Field(description="postgresql://USER:PASSWORD@HOST:PORT/NAME")
    database_pool_size: PositiveInt = Field(10, description="Connections per process.")
    database_timeout: PositiveSeconds = Field(
        5.0, description="Longest wait of one call for the database, over all its statements."
    )
    database_coalesce: bool = Field(
        default=True, description="Have calls in the same moment share statements."
    )
    database_prepared_statements: bool = Field(
        default=True, description="False behind a transaction-pooling proxy without support."
    )

    s3_bucket: str = Field(description="An existing bucket.")
    s3_prefix: str = Field("attachery", description="Every key begins with it.")
    s3_region: str = "us-east-1"
    s3_endpoint: HttpUrl | None = Field(
        None, description="URL of the store, with its path if it has one; unset for AWS."
    )
    s3_public_endpoint: HttpUrl | None = Field(
        None, description="URL under which uploaders reach the store, if it is another."
    )
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    s3_timeout: PositiveSeconds = Field(
        5.0, description="Longest wait of one call for object storage, but for transfers."
    )
    s3_transfer_timeout: PositiveSeconds = Field(
        50.0,
        description="Longest wait of one call for copies and reads of whole objects; "
        "once more to confirm a wrong digest.",
    )
    s3_fast: bool = Field(
        default=True, description="Sign and look at objects past the SDK; false: all through it."
    )

    seal: Annotated[Literal["auto", "write_once", "copy"], AnyCase] = Field(
        "auto", description="How verified bytes are sealed; auto asks the store at start."
    )
    max_size: Annotated[PositiveInt, Bytes] = Field(
        DEFAULT_MAX_SIZE, le=5 * 2**30, description="Largest upload; S3 takes 5 GiB at once."
    )
    sniffing: Annotated[Sniffing, AnyCase] = Field(
        Sniffing.REPORT, description="off, report or enforce."
    )
    purposes: Path | None = Field(
        None, description="TOML file of policies; max_size and sniffing hold where it says nothing."
    )

    rate_limit_read: RateLimitText | None = Field(
        None, description="Per principal and tenant, such as 100/second; no limit if unset."
    )
    rate_limit_write: RateLimitText | None = None
    rate_limit_resolve: RateLimitText | None = None
    rate_limit_store: RedisUrl | None = Field(
        None, description="Redis for a fleet that counts together; if unset, each process alone."
    )

    max_pending_sessions: Limit | None = Field(
        None, description="Per tenant: sessions whose target can still write; no limit if unset."
    )
    max_pending_bytes: SizeLimit | None = Field(
        None, description="Per tenant: what they may bring."
    )
    max_stored_bytes: SizeLimit | None = Field(
        None, description="Per tenant: what is ready, and what is pending."
    )
    quotas: Path | None = Field(
        None, description="TOML file of the limits of tenants that have their own."
    )

    peers: Path | None = Field(
        None, description="TOML file of callers known by their certificate; needs tls_client_ca."
    )
    jwt_issuer: str | None = Field(
        None, description="Whose JSON Web Tokens are taken; with jwt_audience and jwt_jwks."
    )
    jwt_audience: str | None = Field(None, description="For whom they must be.")
    jwt_jwks: KeySetPlace | None = Field(
        None, description="The issuer's public keys: a file or an https:// URL."
    )
    jwt_algorithms: Algorithms = Field(
        "RS256,ES256,EdDSA", description="Signed how; only with public keys."
    )
    jwt_name_claim: str = Field("sub", description="Holds the principal's name.")
    jwt_tenants_claim: str = Field("tenants", description="Holds a list of tenants, or '*'.")
    jwt_scopes_claim: str = Field("scope", description="Holds the scopes, a list or words.")
    jwt_scope_map: ScopeMap = Field(
        "", description="What the issuer's own scopes grant: files:create=uploads.create,..."
    )

    sweep_interval: PositiveSeconds = Field(5.0, description="Longest pause between two sweeps.")
    sweep_batch: int = Field(25, ge=1, le=500, description="Sessions swept in one statement.")
    longest_upload: PositiveSeconds = Field(
        3600.0, description="How long an upload that began before its URL ended may go on."
    )

    notifications_listen: Address | None = Field(
        None, description="HOST:PORT where a worker takes the store's notifications; off if unset."
    )
    notifications_token: SecretStr | None = Field(
        None, description="What the store must show there; everybody may tell if unset."
    )

    max_call_time: PositiveSeconds = Field(
        60.0, description="Longest a call may take, whatever deadline its caller sets."
    )
    health_interval: PositiveSeconds = Field(
        2.0, description="From one look at the database to the next; a failed one: NOT_SERVING."
    )
    drain_delay: Seconds = Field(
        0.0, description="From NOT_SERVING to refusing calls, for balancers to notice."
    )
    drain_time: PositiveSeconds = Field(20.0, description="Longest wait for calls at work.")
    key_cache_time: Seconds = Field(5.0, description="How long a revoked API key may still work.")
    resolve_reuse: bool = Field(
        default=True,
        description="Answer Resolve from what was read and encoded before, where nothing changed.",
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
