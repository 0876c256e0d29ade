"""An issuer's public keys (RFC 7517), from a file or over HTTPS.

The keys are reloaded every few minutes, and when a token names an unknown key, which indicates a
rotation. The latter is rate-limited, because unauthenticated callers can cause it. If a reload
fails, the previous keys stay valid.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp
import jwt
import structlog

from attachery_client.proxies import aiohttp_options
from attachery_service.common.tls_trust import client_context

_log = structlog.get_logger("attachery.issuer")

_PERIOD = 300.0
_LEAST_WAIT = 10.0
# Seconds for one read of the keys. Concurrent callers share its result and its failure.
_READ_SECONDS = 5.0
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_MOST_BYTES = 256 * 1024

# The errors of parsing a document that is not a key set.
_UNUSABLE = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError)

Keys = Mapping[str, jwt.PyJWK]
Source = Callable[[], Awaitable[bytes]]


class KeySetError(OSError):
    """The keys cannot be loaded; the text has the location and the cause."""


class KeySet:
    """The keys of one issuer, by id."""

    def __init__(self, place: str, algorithms: tuple[str, ...]) -> None:
        self._place = place
        self._source = _source(place)
        self._algorithms = algorithms
        self._keys: Keys = {}
        self._started = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Loads the keys within 5 seconds, name resolution and slow file systems included.

        Raises KeySetError.
        """
        try:
            async with asyncio.timeout(_READ_SECONDS):
                self._keys = read_keys(await self._source(), self._algorithms)
        except Exception as error:  # any error means that there are no keys
            raise KeySetError(f"{self._place}: {str(error) or type(error).__name__}") from error

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Returns the key with this id, or None if a reload does not find it either."""
        if key_id not in self._keys:
            await self._reload_unless_lately()
        return self._keys.get(key_id)

    async def keep_fresh(self) -> None:
        """Reloads the keys regularly until it is cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            await self._reload_unless_lately()

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _reload_unless_lately(self) -> None:
        """Reloads the keys unless a reload was attempted recently.

        Concurrent callers share one reload, which continues if one of them is cancelled.
        """
        now = time.monotonic()
        at_work = self._reading is not None and not self._reading.done()
        if not at_work and now - self._started >= _LEAST_WAIT:
            self._started = now
            self._reading = asyncio.create_task(self._reload())
        if self._reading is not None:
            await asyncio.shield(self._reading)

    async def _reload(self) -> None:
        try:
            await self.load()
        except KeySetError as error:
            _log.warning("keys not read", error=str(error))


def read_keys(text: bytes, algorithms: tuple[str, ...]) -> Keys:
    """Parses the keys of a set that can verify tokens.

    A key without an algorithm is used with the default one of its type. Raises ValueError and the
    other errors of _UNUSABLE.
    """
    if len(text) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    found = (_key(entry) for entry in json.loads(text)["keys"])
    # Symmetric algorithms are not allowed, so a public key is never used as a secret.
    usable = {k.key_id: k for k in found if k and k.key_id and k.algorithm_name in algorithms}
    if not usable:
        raise ValueError(f"it has no key with an id for {', '.join(algorithms)}")
    return usable


def _key(entry: object) -> jwt.PyJWK | None:
    """None for an unsupported type of key, which a set may contain."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK(entry)
    except _UNUSABLE:
        return None


def _source(place: str) -> Source:
    if place.startswith("https://"):
        return lambda: _fetched(place)
    return lambda: asyncio.to_thread(_read, Path(place))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES + 1)


async def _fetched(url: str) -> bytes:
    context = await asyncio.to_thread(client_context)
    async with (
        aiohttp.ClientSession(timeout=_NO_TIMEOUT) as http,
        http.get(url, ssl=context, allow_redirects=False, **aiohttp_options(url)) as answer,
    ):
        if answer.status != HTTPStatus.OK:
            raise OSError(f"the answer is HTTP {answer.status}")
        return await _first(answer.content, _MOST_BYTES + 1)


async def _first(content: aiohttp.StreamReader, most: int) -> bytes:
    """Reads a whole body, but at most `most` bytes of it."""
    body = bytearray()
    async for part in content.iter_any():
        body += part
        if len(body) >= most:
            break
    return bytes(body)
