"""HTTP clients besides the SDK's, for requests that the service signs itself."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp
from botocore.httpsession import get_cert_path
from yarl import URL

from attachery_service.common.tls_trust import client_context
from attachery_service.s3.http.head_pool import HeadPool, HttpLimits

if TYPE_CHECKING:
    from attachery_service.s3.client import StorageOptions

CONNECT_SECONDS: Final = 1.0
ATTEMPTS: Final = 3
# The SDK's own value: shorter than the time after which servers close idle connections.
_IDLE_SECONDS: Final = 12.0
_NO_DEFAULT_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class HttpClients:
    """`session` is for responses with a body; `tls` is True where none is expected."""

    session: aiohttp.ClientSession
    tls: ssl.SSLContext | bool
    limits: HttpLimits
    _head_pools: dict[URL, HeadPool] = field(default_factory=dict)

    def head_pool(self, origin: URL) -> HeadPool:
        """The pool of this origin, shared by all its users."""
        if origin not in self._head_pools:
            self._head_pools[origin] = HeadPool(origin, self.tls, self.limits)
        return self._head_pools[origin]

    async def close_head_pools(self) -> None:
        for pool in self._head_pools.values():
            await pool.close()


@asynccontextmanager
async def open_clients(
    options: StorageOptions, ca_bundle: str | None
) -> AsyncIterator[HttpClients]:
    """At most `max_connections` of each kind; a request may take as long as one of the SDK."""
    secure = options.endpoint is None or options.endpoint.lower().startswith("https:")
    tls = await trust(ca_bundle) if secure else True
    limits = HttpLimits(
        connections=options.max_connections,
        connect=CONNECT_SECONDS,
        answer=options.operation_timeout / ATTEMPTS,
        idle=_IDLE_SECONDS,
    )
    async with _session(tls, limits) as session:
        clients = HttpClients(session, tls, limits)
        try:
            yield clients
        finally:
            await clients.close_head_pools()


async def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Trusts the certificates that the SDK trusts."""
    cafile = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(verify=True)
    return await asyncio.to_thread(client_context, cafile)


def _session(tls: ssl.SSLContext | bool, limits: HttpLimits) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=limits.connections,
        keepalive_timeout=limits.idle,
        ssl=tls,
    )
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=limits.connect, sock_read=limits.answer
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NO_DEFAULT_HEADERS,
    )
