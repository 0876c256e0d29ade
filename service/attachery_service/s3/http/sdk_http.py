"""The SDK's HTTP session, made robust against headers that uploaders have written.

By default, it decodes every response header as strict UTF-8 and accepts 8,190 bytes per header and
128 headers. One Latin-1 byte in a Content-Disposition makes each HEAD and GET of that object fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession

from attachery_service.s3.http.headers import ENCODING, is_read_by_sdk

# Object stores written in Go take 1 MiB of request headers by default, and repeat them.
_MAX_HEADER_BYTES: Final = 1024**2
_MAX_HEADERS: Final = 64 * 1024

_RawHeaders = tuple[tuple[bytes, bytes], ...]


class _Response(aiohttp.ClientResponse):
    """Passes the SDK only the headers that it can use, re-encoded as UTF-8."""

    @property
    def raw_headers(self) -> _RawHeaders:
        """Returns the headers with lower-case names."""
        headers = [(n.decode(ENCODING).lower(), v) for n, v in super().raw_headers]
        return tuple(
            (name.encode(), value.decode(ENCODING).encode())
            for name, value in headers
            if is_read_by_sdk(name)
        )


class SdkHttpSession(AIOHTTPSession):
    """Overrides how the SDK creates its client sessions, for which it has no setting."""

    # Attributes of the superclass that its type stubs leave out (aiobotocore 3.9 and 3.10).
    _sessions: dict[str | None, aiohttp.ClientSession]
    _exit_stack: AsyncExitStack
    _timeout: aiohttp.ClientTimeout
    _create_connector: Callable[[str | None], Awaitable[aiohttp.TCPConnector]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._making_one = asyncio.Lock()

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        async with self._making_one:
            if (session := self._sessions.get(proxy_url)) is None:
                session = await self._exit_stack.enter_async_context(
                    aiohttp.ClientSession(
                        connector=await self._create_connector(proxy_url),
                        timeout=self._timeout,
                        skip_auto_headers={"Content-Type"},
                        auto_decompress=False,
                        response_class=_Response,
                        max_field_size=_MAX_HEADER_BYTES,
                        max_headers=_MAX_HEADERS,
                    )
                )
                self._sessions[proxy_url] = session
        return session
