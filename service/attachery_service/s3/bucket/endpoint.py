"""Discovers a bucket's endpoint through the SDK, which resolves region, style and environment.

At start-up, the SDK and this package both sign a URL and a form for one key. If the results differ
(a multi-region access point, a bucket with sessions, an SDK with another signature version), there
is no BucketEndpoint, and all requests are left to the SDK.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

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

_KEY: Final = "key"
_SECONDS: Final = 60
_USUAL_PORTS: Final = {"http": 80, "https": 443}
# The region's position in `access key/date/region/service/aws4_request`.
_REGION: Final = -3


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
    frozen = await _frozen(credentials)
    url = await client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": _KEY}, ExpiresIn=_SECONDS
    )
    endpoint = _told_by(url, bucket)
    if endpoint is None or not _signs_url(endpoint, frozen, url):
        return None
    form = await client.generate_presigned_post(Bucket=bucket, Key=_KEY, ExpiresIn=_SECONDS)
    if not _signs_form(endpoint, frozen, form["fields"]):
        return None
    return replace(endpoint, form_url=form["url"])


async def signing_identity(
    credentials: AioCredentials, endpoint: BucketEndpoint
) -> SigningIdentity:
    """The identity that signs now. Credentials that are about to expire are refreshed first."""
    return SigningIdentity(await _frozen(credentials), endpoint.region, int(time()))


async def _frozen(credentials: AioCredentials) -> Credentials:
    # The SDK's types allow None, but no request is signed without credentials.
    return cast("Credentials", await credentials.get_frozen_credentials())


def _told_by(url: str, bucket: str) -> BucketEndpoint | None:
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
