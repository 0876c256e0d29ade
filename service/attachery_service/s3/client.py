"""The connection to object storage: one long-lived client, and a second one if signing needs it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import ClientError

from attachery_service.domain.errors import StorageMisconfigured
from attachery_service.s3.bucket.endpoint_url import read_endpoint
from attachery_service.s3.credentials import share_refresh
from attachery_service.s3.errors import status_of, translate_errors
from attachery_service.s3.http.clients import (
    ATTEMPTS,
    CONNECT_SECONDS,
    HttpClients,
    open_clients,
)
from attachery_service.s3.http.host_names import stand_in, use_endpoint
from attachery_service.s3.http.proxies import sdk_proxies
from attachery_service.s3.http.sdk_http import SdkHttpSession
from attachery_service.s3.sdk_models import LeanModels

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials
    from types_aiobotocore_s3 import S3Client

# The lookup of credentials may query the machine's metadata service.
_OPEN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """The bucket, its endpoint and the credentials.

    `endpoint`: URL that the service itself uses; None is AWS. `public_endpoint`: URL that uploaders
    and downloaders use, for signing only; None is the same. `access_key` with `secret_key`; None is
    the usual AWS chain (environment, profile, web identity, container, instance), which also finds
    temporary credentials and refreshes them. `addressing`: None is path style with an endpoint and
    virtual-hosted style at AWS. Timeouts in seconds: `operation_timeout` bounds every call,
    `transfer_timeout` those that move a whole object (copy, digest). `digest_concurrency`: objects
    hashed at a time. `max_connections`: of the SDK; as many again for HEADs, and for first bytes.
    `fast`: sign URLs and read objects without the SDK where the result is the same.
    """

    bucket: str
    prefix: str = "attachments"
    region: str = "us-east-1"
    endpoint: str | None = None
    public_endpoint: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    addressing: Literal["auto", "path", "virtual"] | None = None
    operation_timeout: float = 5.0
    transfer_timeout: float = 120.0
    digest_concurrency: int = 4
    max_connections: int = 64
    fast: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError if only one of the two keys is given."""
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key come together")

    def key(self, *parts: str) -> str:
        """The key of these parts below the prefix."""
        return "/".join(part for part in (self.prefix.strip("/"), *parts) if part)


@dataclass(frozen=True, slots=True)
class Storage:
    """An open connection. `signing` is `s3` unless uploaders use another endpoint.

    `ca_bundle`: path of the certificates that `s3` trusts; None: the SDK's own. `clients`: for
    requests without the SDK; None if they are switched off.
    """

    options: StorageOptions
    s3: S3Client
    signing: S3Client
    credentials: AioCredentials
    ca_bundle: str | None
    clients: HttpClients | None


@asynccontextmanager
async def open_storage(options: StorageOptions) -> AsyncIterator[Storage]:
    """Opens the clients for the block, without a request to object storage.

    Raises StorageMisconfigured if there are no credentials or an option is invalid.
    """
    async with AsyncExitStack() as stack:
        yield await _opened(stack, options)


async def ping(storage: Storage) -> None:
    """Sends a HEAD of the bucket. Raises StorageUnavailable or StorageMisconfigured."""
    with translate_errors(storage.options.operation_timeout):
        await storage.s3.head_bucket(Bucket=storage.options.bucket)


async def ensure_bucket(storage: Storage) -> None:
    """Creates the bucket, unversioned, if it is missing; for development.

    Leaves an existing bucket unchanged. Raises StorageUnavailable or StorageMisconfigured.
    """
    with translate_errors(storage.options.operation_timeout):
        if not await _has_bucket(storage):
            await _create_bucket(storage)


async def _opened(stack: AsyncExitStack, options: StorageOptions) -> Storage:
    with translate_errors(_OPEN_SECONDS):
        session = get_session()
        session.get_component("data_loader").file_loader = LeanModels()
        credentials = await _credentials(session, options)
        s3 = await _client(stack, session, options, options.endpoint)
        patience = _Patience(options.transfer_timeout)
        for name in ("CopyObject", "DeleteObjects"):
            s3.meta.events.register(f"before-call.s3.{name}", patience)
        s3.meta.events.register_last("before-call.s3.DeleteObjects", _add_content_md5)
        signing, public = s3, options.public_endpoint
        if public is not None and public != options.endpoint:
            signing = await _client(stack, session, options, public)
        ca_bundle = session.get_config_variable("ca_bundle")
        clients = None
        if options.fast:
            clients = await stack.enter_async_context(open_clients(options, ca_bundle))
        return Storage(options, s3, signing, credentials, ca_bundle, clients)


async def _credentials(session: AioSession, options: StorageOptions) -> AioCredentials:
    if options.access_key is not None and options.secret_key is not None:
        session.set_credentials(options.access_key, options.secret_key)
    credentials = await session.get_credentials()
    if credentials is None:
        raise StorageMisconfigured(detail="there are no credentials for object storage")
    share_refresh(credentials)
    return credentials


async def _client(
    stack: AsyncExitStack, session: AioSession, options: StorageOptions, endpoint: str | None
) -> S3Client:
    real = None if endpoint is None else _checked(endpoint)
    client = await stack.enter_async_context(
        session.create_client(
            "s3",
            region_name=options.region,
            endpoint_url=None if real is None else stand_in(real),
            config=_config(options, real),
        )
    )
    if real is not None:
        use_endpoint(client, real)
    return client


def _checked(endpoint: str) -> str:
    try:
        return read_endpoint(endpoint)
    except ValueError as error:
        raise StorageMisconfigured(detail=f"the endpoint {error}") from error


def _config(options: StorageOptions, endpoint: str | None) -> AioConfig:
    style = options.addressing or ("virtual" if endpoint is None else "path")
    return AioConfig(
        # The SDK's default for URLs is the old signature, which leaves headers unsigned.
        signature_version="s3v4",
        s3={"addressing_style": style},
        # By default, the SDK adds checksums of its own, of an empty body in a signed URL.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=CONNECT_SECONDS,
        # After a connection without a response, the limit leaves time for another attempt.
        read_timeout=options.operation_timeout / ATTEMPTS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=options.max_connections,
        proxies=sdk_proxies(endpoint, options),
        http_session_cls=SdkHttpSession,
    )


@dataclass(frozen=True, slots=True)
class _Patience:
    """Gives one operation a longer read timeout: object storage sends nothing until it is done."""

    seconds: float

    def __call__(self, *, context: dict[str, Any], **_: object) -> None:
        context["read_timeout"] = self.seconds


def _add_content_md5(*, params: dict[str, Any], **_: object) -> None:
    """Adds Content-MD5, which servers older than the SDK's own checksum require of this request."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


async def _has_bucket(storage: Storage) -> bool:
    try:
        await storage.s3.head_bucket(Bucket=storage.options.bucket)
    except ClientError as error:
        if status_of(error) != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


async def _create_bucket(storage: Storage) -> None:
    options = storage.options
    # AWS requires a location constraint outside us-east-1; other servers accept only their own.
    if options.endpoint is None and options.region != "us-east-1":
        await storage.s3.create_bucket(
            Bucket=options.bucket,
            CreateBucketConfiguration={"LocationConstraint": options.region},  # type: ignore[typeddict-item]
        )
    else:
        await storage.s3.create_bucket(Bucket=options.bucket)
