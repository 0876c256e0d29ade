"""Where a bucket is: learnt from the SDK, which knows of regions, styles and the environment.

The SDK is asked once to sign a URL and a form for a key, and both are signed here too. Where they
are not the same (an access point of many regions, a bucket with sessions, an SDK told to sign
otherwise), there is no endpoint and everything is left to the SDK.
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
# Of `access key/date/region/service/aws4_request`.
_REGION: Final = -3


@dataclass(frozen=True, slots=True)
class BucketEndpoint:
    """`path` is what keys are appended to; a form is sent to `form_url`."""

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
    """The bucket as this client finds and signs it; None if only the SDK can."""
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
    """Signs there now; credentials that are about to end are refreshed first."""
    return SigningIdentity(await _frozen(credentials), endpoint.region, int(time()))


async def _frozen(credentials: AioCredentials) -> Credentials:
    # Nothing is signed without a key, whatever the SDK's types allow.
    return cast("Credentials", await credentials.get_frozen_credentials())


def _told_by(url: str, bucket: str) -> BucketEndpoint | None:
    """All but where forms go."""
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
    # The SDK's order is another where it signs without awscrt.
    return (own_path, sorted(own_query.split("&"))) == (path, sorted(query.split("&")))


def _signs_form(
    endpoint: BucketEndpoint, credentials: Credentials, fields: Mapping[str, str]
) -> bool:
    now = _seconds(fields.get("x-amz-date", ""))
    if now is None:
        return False
    form = Form(endpoint.bucket, _KEY, {}, [])
    identity = SigningIdentity(credentials, endpoint.region, now)
    # The SDK reads the clock twice: for the expiration, then for the signature. A second may
    # begin in between, and such a form expires one second earlier after its signature.
    return any(signed_form(form, identity, age) == fields for age in (_SECONDS, _SECONDS - 1))


def _seconds(basic_time: str) -> int | None:
    try:
        moment = datetime.strptime(basic_time, "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
    except ValueError:
        return None
    return int(moment.replace(tzinfo=UTC).timestamp())


def _host(parts: SplitResult) -> str:
    """The Host header: as HTTP has it, without a scheme's usual port."""
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    if parts.port in (None, _USUAL_PORTS.get(parts.scheme)):
        return host
    return f"{host}:{parts.port}"
