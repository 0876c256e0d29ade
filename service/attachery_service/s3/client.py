"""The connection to the store: one long-lived client, and where needed one more for signing."""

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
from attachery_service.s3.errors import bounded, status_of
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

# Looking for credentials may ask the machine's metadata service.
_OPEN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """Which bucket, where, and as whom.

    `endpoint`: URL the service itself uses; None is AWS. `public_endpoint`: URL that uploaders and
    downloaders reach, for signing only; None is the same. `access_key` with `secret_key`; None
    is the usual AWS chain (environment, profile, web identity, container, instance), which also
    knows temporary ones and refreshes them. `addressing`: None is path style at
    an endpoint and virtual-hosted style at AWS. Timeouts in seconds: `operation_timeout` bounds
    every call, `transfer_timeout` those that move a whole object (copy, digest).
    `digest_concurrency`: objects being hashed at one time. `max_connections`: of the SDK; as many
    beside it for HEADs, and for first bytes. `fast`: sign, and look at objects, past the SDK where
    that comes to the same.
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
        """Raises ValueError for half a pair of keys."""
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key come together")

    def key(self, *parts: str) -> str:
        """The key of these parts under the prefix."""
        return "/".join(part for part in (self.prefix.strip("/"), *parts) if part)


@dataclass(frozen=True, slots=True)
class Storage:
    """An open store. `signing` is `s3` unless uploaders reach the store by another URL.

    `ca_bundle`: path of the certificates that `s3` trusts; None are the SDK's own. `clients`: for
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
    """Holds the connections until the end of the context. Does not call the store.

    Raises StorageMisconfigured when there are no credentials or an option is impossible.
    """
    async with AsyncExitStack() as stack:
        yield await _opened(stack, options)


async def ping(storage: Storage) -> None:
    """Asks for the bucket. Raises StorageUnavailable or StorageMisconfigured."""
    with bounded(storage.options.operation_timeout):
        await storage.s3.head_bucket(Bucket=storage.options.bucket)


async def ensure_bucket(storage: Storage) -> None:
    """Makes the bucket, unversioned, if there is none; for development.

    Leaves one that exists as it is. Raises StorageUnavailable or StorageMisconfigured.
    """
    with bounded(storage.options.operation_timeout):
        if not await _has_bucket(storage):
            await _create_bucket(storage)


async def _opened(stack: AsyncExitStack, options: StorageOptions) -> Storage:
    with bounded(_OPEN_SECONDS):
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
        raise StorageMisconfigured(detail="there are no credentials for the object store")
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
        # Else the SDK adds checksums of its own, of an empty body in a signed URL.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=CONNECT_SECONDS,
        # A connection that died in silence leaves time for another attempt within the bound.
        read_timeout=options.operation_timeout / ATTEMPTS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=options.max_connections,
        proxies=sdk_proxies(endpoint, options),
        http_session_cls=SdkHttpSession,
    )


@dataclass(frozen=True, slots=True)
class _Patience:
    """Gives one operation a read timeout of its own: these are silent until they are done."""

    seconds: float

    def __call__(self, *, context: dict[str, Any], **_: object) -> None:
        context["read_timeout"] = self.seconds


def _add_content_md5(*, params: dict[str, Any], **_: object) -> None:
    """Stores older than the SDK's own checksum of this request demand it."""
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
    # At AWS a region other than the first must be named; other stores know only their own.
    if options.endpoint is None and options.region != "us-east-1":
        await storage.s3.create_bucket(
            Bucket=options.bucket,
            CreateBucketConfiguration={"LocationConstraint": options.region},  # type: ignore[typeddict-item]
        )
    else:
        await storage.s3.create_bucket(Bucket=options.bucket)
