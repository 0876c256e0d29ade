"""Connections to the store beside the SDK's, for requests that are signed here."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Final

import aiohttp
from botocore.httpsession import get_cert_path

if TYPE_CHECKING:
    from attachery_service.storage.client import StorageOptions

CONNECT_SECONDS: Final = 1.0
ATTEMPTS: Final = 3
# As the SDK has it: before the store closes a connection that has nothing to do.
_IDLE_SECONDS: Final = 12.0
_NOT_MADE_UP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


async def open_pool(options: StorageOptions, ca_bundle: str | None) -> aiohttp.ClientSession:
    """At most `max_connections`; one request takes what the SDK gives one of its attempts."""
    secure = options.endpoint is None or options.endpoint.startswith("https:")
    connector = aiohttp.TCPConnector(
        limit=options.max_connections,
        keepalive_timeout=_IDLE_SECONDS,
        ssl=await trust(ca_bundle) if secure else True,
    )
    timeout = aiohttp.ClientTimeout(
        total=None,
        sock_connect=CONNECT_SECONDS,
        sock_read=options.operation_timeout / ATTEMPTS,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NOT_MADE_UP,
    )


async def trust(ca_bundle: str | None) -> ssl.SSLContext:
    """Trusts the certificates that the SDK trusts."""
    cafile = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(verify=True)
    return await asyncio.to_thread(ssl.create_default_context, cafile=cafile)
