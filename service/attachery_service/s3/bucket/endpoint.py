"""Discovers a bucket's endpoint through the SDK, which resolves region, style and environment.

At start-up, the SDK and this package both sign a URL and a form for one key. If the results differ
(a multi-region access point, a bucket with sessions, an SDK with another signature version), there
is no BucketEndpoint, and all requests are left to the SDK. A difference is confirmed by a second
comparison: between two signatures, credentials may be refreshed, or a slow process may be paused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

import structlog

from attachery_service.s3.signing.sigv4 import (
    Credentials,
    Form,
    Request,
    SigningIdentity,
    encoded_path,
    signed_form,
    signed_url,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiobotocore.credentials import AioCredentials
    from types_aiobotocore_s3 import S3Client

_log = structlog.get_logger("attachery.storage")

_COMPARISONS: Final = 2
_KEY: Final = "key"
_SECONDS: Final = 60
_USUAL_PORTS: Final = {"http": 80, "https": 443}
# The region's position in `access key/date/region/service/aws4_request`.
_REGION: Final = -3


class _SignaturesDifferError(Exception):
    """The SDK signs in another way; the message names the difference."""


@dataclass(frozen=True, slots=True)
class BucketEndpoint:
    """The address of a bucket. Keys are appended to `path`; forms are sent to `form_url`."""

    bucket: str
    origin: str
    host: str
    path: str
    form_url: str
    region: str

    def request(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Request:
        return Request(
            method, self.origin, self.host, self.path + encoded_path(key), query, headers
        )


async def discover(
    client: S3Client, credentials: AioCredentials, bucket: str
) -> BucketEndpoint | None:
    """Discovers the bucket's endpoint; None if only the SDK can sign for it."""
    for _ in range(_COMPARISONS):
        try:
            return await _compare(client, credentials, bucket)
        except _SignaturesDifferError as error:
            reason = str(error)
    _log.info("signing left to the SDK", bucket=bucket, reason=reason)
    return None


async def signing_identity(
    credentials: AioCredentials, endpoint: BucketEndpoint
) -> SigningIdentity:
    """The identity that signs now. Credentials that are about to expire are refreshed first."""
    return SigningIdentity(await _frozen(credentials), endpoint.region, int(time()))


async def _compare(client: S3Client, credentials: AioCredentials, bucket: str) -> BucketEndpoint:
    """Raises _SignaturesDifferError."""
    frozen = await _frozen(credentials)
    url = await client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": _KEY}, ExpiresIn=_SECONDS
    )
    endpoint = _parse_url(url, bucket)
    if endpoint is None:
        raise _SignaturesDifferError("the SDK's URL has no Signature Version 4")
    if not _signs_url(endpoint, frozen, url):
        raise _SignaturesDifferError("the SDK signs a URL differently")
    form = await client.generate_presigned_post(Bucket=bucket, Key=_KEY, ExpiresIn=_SECONDS)
    if not _signs_form(endpoint, frozen, form["fields"]):
        raise _SignaturesDifferError("the SDK signs a form differently")
    return replace(endpoint, form_url=form["url"])


async def _frozen(credentials: AioCredentials) -> Credentials:
    # The SDK's types allow None, but no request is signed without credentials.
    return cast("Credentials", await credentials.get_frozen_credentials())


def _parse_url(url: str, bucket: str) -> BucketEndpoint | None:
    """Parses a URL that the SDK has signed into an endpoint without its form URL."""
    parts = urlsplit(url)
    scope = dict(parse_qsl(parts.query)).get("X-Amz-Credential", "").split("/")
    if len(scope) < -_REGION:
        return None
    return BucketEndpoint(
        bucket=bucket,
        origin=f"{parts.scheme}://{parts.netloc}",
        host=_host(parts),
        path=parts.path.removesuffix(_KEY),
        form_url="",
        region=scope[_REGION],
    )


def _signs_url(endpoint: BucketEndpoint, credentials: Credentials, url: str) -> bool:
    path, _, query = url.partition("?")
    now = _seconds(dict(parse_qsl(query)).get("X-Amz-Date", ""))
    if now is None:
        return False
    request = endpoint.request("GET", _KEY, {}, {})
    own = signed_url(request, SigningIdentity(credentials, endpoint.region, now), _SECONDS)
    own_path, _, own_query = own.partition("?")
    # Without awscrt, the SDK orders the parameters differently.
    return (own_path, sorted(own_query.split("&"))) == (path, sorted(query.split("&")))


def _signs_form(
    endpoint: BucketEndpoint, credentials: Credentials, fields: Mapping[str, str]
) -> bool:
    now = _seconds(fields.get("x-amz-date", ""))
    if now is None:
        return False
    form = Form(endpoint.bucket, _KEY, {}, [])
    identity = SigningIdentity(credentials, endpoint.region, now)
    # The SDK reads the clock twice: for the expiration, then for the signature. If a second begins
    # in between, the form expires one second earlier relative to its signature.
    return any(signed_form(form, identity, age) == fields for age in (_SECONDS, _SECONDS - 1))


def _seconds(basic_time: str) -> int | None:
    try:
        moment = datetime.strptime(basic_time, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
    except ValueError:
        return None
    return int(moment.replace(tzinfo=UTC).timestamp())


def _host(parts: SplitResult) -> str:
    """The Host header: without the port if it is the scheme's default."""
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    if parts.port in (None, _USUAL_PORTS.get(parts.scheme)):
        return host
    return f"{host}:{parts.port}"
