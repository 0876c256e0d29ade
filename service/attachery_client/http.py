"""Signed URLs over HTTP with aiohttp (the extra `transfer`), in constant memory.

Requests go through the proxy that the environment names for their URL (`proxies`).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, BinaryIO

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from attachery.v1.resources_pb2 import UploadTarget
from attachery_client.proxies import UnusableProxy, aiohttp_options, proxy_for
from attachery_client.transfer import Body, ProxyFailed, TransferFailed

# Seconds before the second, third and fourth attempt, each varied so that callers spread.
_PAUSES = (0.2, 0.6, 1.8)

# Transient 4xx responses: storage timed out while it waited for bytes, or another write of the same
# key was in flight.
_PASSING_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_PASSING_CODES = frozenset({"RequestTimeout", "ConditionalRequestConflict", "OperationAborted"})

# Concurrent requests. Further ones wait for a slot here: in aiohttp's pool waiting would count as
# connecting.
_MAX_CONNECTIONS = 100
# For a proxy's answer to CONNECT too, which no other limit of aiohttp covers.
_CONNECT_SECONDS = 60

_CHUNK = 1024 * 1024
_ERROR_BYTES = 64 * 1024
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,100})</Code>")

# Storage accepts the target's own headers, and those that HTTP itself needs, but no others.
_UNWANTED_HEADERS = ("Accept", "Accept-Encoding", "User-Agent")

# Object storage returns the headers that an uploader added, within limits of its own.
_MAX_HEADER_BYTES = 256 * 1024
_MAX_HEADERS = 16 * 1024

Attempt = Callable[[], Awaitable[TransferFailed | None]]


def _header_limits() -> dict[str, Any]:
    """Arguments for a session. Before 3.13.4 aiohttp takes any number of headers."""
    limits = {"max_field_size": _MAX_HEADER_BYTES, "max_headers": _MAX_HEADERS}
    known = inspect.signature(aiohttp.ClientSession.__init__).parameters
    return {name: limit for name, limit in limits.items() if name in known}


class HttpTransfer:
    """Follows targets and fetches URLs. Opened inside the event loop that uses it."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            # The caller limits the whole transfer; these limits detect a stalled connection.
            timeout=aiohttp.ClientTimeout(
                total=None, connect=_CONNECT_SECONDS, sock_connect=10, sock_read=60
            ),
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            read_bufsize=_CHUNK,
            **_header_limits(),
        )
        self._slots = asyncio.Semaphore(_MAX_CONNECTIONS)

    async def close(self) -> None:
        await self._session.close()

    async def send(self, target: UploadTarget, body: Body) -> None:
        """Raises TransferFailed; OSError if the file cannot be opened."""
        await _repeat(lambda: self._send_once(target, body))

    async def fetch(self, url: str, sink: BinaryIO) -> None:
        """Raises TransferFailed."""
        await _repeat(lambda: self._fetch_once(url, sink))

    async def _send_once(self, target: UploadTarget, body: Body) -> TransferFailed | None:
        with await asyncio.to_thread(body.open) as file:
            if file.seek(0, os.SEEK_END) != body.size:
                raise TransferFailed("the file changed while it was being uploaded")
            file.seek(0)
            try:
                async with self._slots, self._request_with(target, file, body.size) as response:
                    return await _judge_upload(response, target)
            except (aiohttp.ClientError, OSError, UnusableProxy) as error:
                return _fault(error, target.url)

    def _request_with(
        self, target: UploadTarget, file: BinaryIO, size: int
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if target.method == "POST":
            return self._request("POST", target.url, target.headers, _form(target, file))
        # Explicit because aiohttp repeats a PUT on its own when a connection breaks; versions
        # before 3.12 would then declare and send the rest of the file, which is empty.
        headers = CIMultiDict(target.headers)
        headers["Content-Length"] = str(size)
        return self._request(target.method, target.url, headers, file)

    async def _fetch_once(self, url: str, sink: BinaryIO) -> TransferFailed | None:
        sink.seek(0)
        sink.truncate()
        try:
            async with self._slots, self._request("GET", url, {}, None) as response:
                if response.status != HTTPStatus.OK:
                    return await _refusal(response, url)
                async for chunk in response.content.iter_chunked(_CHUNK):
                    await asyncio.to_thread(sink.write, chunk)
        except (aiohttp.ClientError, ConnectionError, UnusableProxy) as error:
            return _fault(error, url)
        return None

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: BinaryIO | aiohttp.FormData | None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            method,
            URL(url, encoded=True),  # as signed: not one escape may be written another way
            **aiohttp_options(url, headers),
            data=data,
            skip_auto_headers=_UNWANTED_HEADERS,
            allow_redirects=False,  # a signature is for one host only
        )


def _form(target: UploadTarget, file: BinaryIO) -> aiohttp.FormData:
    """Storage ignores every field after `file`, so that comes last."""
    form = aiohttp.FormData()
    for name, value in target.form_fields.items():
        form.add_field(name, value)
    form.add_field("file", file, filename="file", content_type="application/octet-stream")
    return form


async def _repeat(attempt: Attempt) -> None:
    """Repeats an attempt while its failure may pass; raises the last one."""
    failure = await attempt()
    for pause in _PAUSES:
        if failure is None or not _may_pass(failure):
            break
        await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - spreads, no secret
        failure = await attempt()
    # Raised here and not where it was caught: the errors of aiohttp have URLs in their text.
    if failure is not None:
        raise failure


def _may_pass(failure: TransferFailed) -> bool:
    status = failure.status
    if isinstance(failure, ProxyFailed) and not failure.may_pass:
        return False
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return True
    return status in _PASSING_STATUSES or failure.store_code in _PASSING_CODES


async def _judge_upload(
    response: aiohttp.ClientResponse, target: UploadTarget
) -> TransferFailed | None:
    if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    # The target creates its object only once, and an object exists: most likely an earlier attempt
    # stored it and its response was lost. Complete verifies the object in any case.
    write_once = any(name.lower() == "if-none-match" for name in target.headers)
    if response.status == HTTPStatus.PRECONDITION_FAILED and write_once:
        return None
    return await _refusal(response, target.url)


async def _refusal(response: aiohttp.ClientResponse, url: str) -> TransferFailed:
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:  # storage has no such answer
        return _proxy_refusal(response.status, url)
    found = _ERROR_CODE.search(await response.content.read(_ERROR_BYTES))
    code = found.group(1).decode() if found else ""
    return TransferFailed(
        f"storage answered {response.status} {code}".rstrip(),
        status=response.status,
        store_code=code,
    )


def _fault(error: Exception, url: str) -> TransferFailed:
    """The failure of a request that got no answer from storage.

    The errors of aiohttp are named by their type alone: their text may hold the URL.
    """
    if isinstance(error, UnusableProxy):
        return ProxyFailed(str(error), may_pass=False)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refusal(error.status, url)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return ProxyFailed(f"the proxy {_proxy_address(url)} cannot be reached")
    return TransferFailed(f"the connection to storage failed ({type(error).__name__})")


def _proxy_refusal(status: int, url: str) -> ProxyFailed:
    proxy = f"the proxy {_proxy_address(url)}"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ProxyFailed(f"{proxy} does not accept the credentials (407)", status=status)
    return ProxyFailed(f"{proxy} refused the connection to storage ({status})", status=status)


def _proxy_address(url: str) -> str:
    """Without its credentials."""
    proxy = proxy_for(url)
    return proxy.address if proxy else ""
