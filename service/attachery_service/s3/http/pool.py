"""Connections to the store beside the SDK's, for requests that are signed here."""

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
from attachery_service.s3.http.connections import Connections, Limits

if TYPE_CHECKING:
    from attachery_service.s3.client import StorageOptions

CONNECT_SECONDS: Final = 1.0
ATTEMPTS: Final = 3
# As the SDK has it: before the store closes a connection that has nothing to do.
_IDLE_SECONDS: Final = 12.0
_NOT_MADE_UP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True)
class Pool:
    """`http` is for answers that have a body; `tls` is True where none is expected."""

    http: aiohttp.ClientSession
    tls: ssl.SSLContext | bool
    limits: Limits
    _heads: dict[URL, Connections] = field(default_factory=dict)

    def heads(self, origin: URL) -> Connections:
        """For HEADs there; the same for all who ask."""
        if origin not in self._heads:
            self._heads[origin] = Connections(origin, self.tls, self.limits)
        return self._heads[origin]

    def close_heads(self) -> None:
        for connections in self._heads.values():
            connections.close()


@asynccontextmanager
async def open_pool(options: StorageOptions, ca_bundle: str | None) -> AsyncIterator[Pool]:
    """At most `max_connections` of a kind; one request takes what the SDK gives an attempt."""
    secure = options.endpoint is None or options.endpoint.lower().startswith("https:")
    tls = await trust(ca_bundle) if secure else True
    limits = Limits(
        connections=options.max_connections,
        connect=CONNECT_SECONDS,
        answer=options.operation_timeout / ATTEMPTS,
        idle=_IDLE_SECONDS,
    )
    async with _session(tls, limits) as http:
        pool = Pool(http, tls, limits)
        try:
            yield pool
        finally:
            pool.close_heads()


async def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Trusts the certificates that the SDK trusts."""
    cafile = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(verify=True)
    return await asyncio.to_thread(client_context, cafile)


def _session(tls: ssl.SSLContext | bool, limits: Limits) -> aiohttp.ClientSession:
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
        skip_auto_headers=_NOT_MADE_UP,
    )
