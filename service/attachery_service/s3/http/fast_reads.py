"""HEAD and first bytes over the service's own connections, signed by `sigv4`.

This module handles two responses: success, and 404 for a missing object. After any other result (a
refusal, another region, a response that is not S3's, a broken or silent connection) the SDK repeats
the request, with its own attempts within the remaining time, and its errors are reported. A
connection that object storage has closed since its last use is replaced first. If the environment
requires a proxy, the SDK makes all requests.

The first bytes are read with aiohttp; HEADs, which have no body, use `HeadPool`. The signature is
sent in the headers, because HTTP logs contain query strings.

Gain: with aiohttp, a request takes about an eighth of the SDK's CPU time; a HEAD takes a quarter of
that with `HeadPool` (aiobotocore 3.9, aiohttp 3.14). ATTACHERY_S3_FAST switches it off; tests
compare both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from attachery_client.proxies import proxy_for
from attachery_service.domain.checks import StoredObject
from attachery_service.s3.bucket.endpoint import BucketEndpoint, discover, signing_identity
from attachery_service.s3.client import Storage
from attachery_service.s3.http.head_pool import HeadPool
from attachery_service.s3.http.http1 import head_request
from attachery_service.s3.reads import Reads, SdkReads, first, quoted, read
from attachery_service.s3.signing.sigv4 import signed_headers

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials

_NO_ANSWER: Final = (aiohttp.ClientError, OSError, ValueError)
_FOUND: Final = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
_WITH_CHECKSUMS: Final = {"x-amz-checksum-mode": "ENABLED"}


async def choose_reads(storage: Storage, sdk: SdkReads) -> Reads:
    """FastReads if there is a pool and `sigv4` signs as the SDK does; else SdkReads."""
    if storage.clients is None:
        return sdk
    endpoint = await discover(storage.s3, storage.credentials, storage.options.bucket)
    if endpoint is None:
        return sdk
    if proxy_for(endpoint.origin) is not None:
        return sdk
    origin, clients = URL(endpoint.origin), storage.clients
    pool = clients.head_pool(origin)
    return FastReads(sdk, clients.session, pool, endpoint, storage.credentials, origin)


@dataclass(frozen=True, slots=True)
class FastReads:
    """Reads over pooled connections. `origin`: the parsed origin of the endpoint."""

    sdk: SdkReads
    http: aiohttp.ClientSession
    head_pool: HeadPool
    endpoint: BucketEndpoint
    credentials: AioCredentials
    origin: URL

    async def head(self, key: str) -> Mapping[str, str] | None:
        try:
            path, headers = await self._signed("HEAD", key, _WITH_CHECKSUMS)
            status, described = await self.head_pool.head(head_request(path, headers))
            if status == HTTPStatus.NOT_FOUND:
                return None
            if status == HTTPStatus.OK and _is_described(described):
                return described
        except _NO_ANSWER:
            pass
        return await self.sdk.head(key)

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        wanted = {"range": first(count), "if-match": quoted(source.etag)}
        try:
            path, headers = await self._signed("GET", source.key, wanted)
            url = self.origin.with_path(path, encoded=True)
            async with self.http.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status in _FOUND and _etag(answer.headers) == source.etag:
                    return await read(answer.content, count)
        except _NO_ANSWER:
            pass
        return await self.sdk.first_bytes(source, count)

    async def _signed(
        self, method: str, key: str, headers: Mapping[str, str]
    ) -> tuple[str, Mapping[str, str]]:
        """Returns the path and all headers to send."""
        request = self.endpoint.request(method, key, {}, headers)
        return request.path, signed_headers(
            request, await signing_identity(self.credentials, self.endpoint)
        )


def _is_described(headers: Mapping[str, str]) -> bool:
    """Whether the response describes an object, and is not an intermediary's page."""
    etag = _etag(headers)
    return bool(etag) and etag.isascii() and headers.get("content-length", "").isdecimal()


def _etag(headers: Mapping[str, str]) -> str:
    return headers.get("etag", "").strip('"')
