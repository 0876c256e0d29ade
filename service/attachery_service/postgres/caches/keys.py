"""Caches of keys, so that not every call reads its caller's key from the database.

While the database does not answer, no key older than the cache time is used: a revoked key is
refused within that time, in an outage too. Concurrent callers share one read and its failure.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar

from attachery_service.aio.lru import LruCache
from attachery_service.aio.single_flight import SingleFlight
from attachery_service.domain.credentials import StoredKey
from attachery_service.domain.session_tokens import TimedKey, TokenKey
from attachery_service.postgres.errors import bounded
from attachery_service.postgres.repositories.api_keys import PostgresApiKeys, to_stored_key
from attachery_service.postgres.repositories.token_keys import PostgresTokenKeys
from attachery_service.postgres.rows import Row

# Unknown ids are kept too, so that guessing costs no statement each; this bounds what they take.
_MOST = 10_000

# Beyond it, keys are looked up one by one. So many take 10 MB, and a statement of 50 ms.
_MOST_AT_ONCE = 20_000

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[_Value]):
    value: _Value
    read_at: float


class _Cache(Generic[_Key, _Value]):
    """Keeps the results of `read` for `seconds`. A caller waits at most `timeout` seconds."""

    def __init__(
        self, read: Callable[[_Key], Awaitable[_Value]], seconds: float, timeout: float
    ) -> None:
        self._reads = SingleFlight(read, seconds)
        self._seconds = seconds
        self._timeout = timeout
        self._entries: LruCache[_Key, _Entry[_Value]] = LruCache(_MOST)

    async def get(self, key: _Key) -> tuple[_Value, float]:
        """The value, and how many seconds ago its read began. Raises DatabaseUnavailable."""
        entry, now = self._entries.get(key), time.monotonic()
        if entry is not None and now < entry.read_at + self._seconds:
            return entry.value, now - entry.read_at
        with bounded(self._timeout):
            value, began = await self._reads.get(key)
        self._entries.put(key, _Entry(value, began))
        return value, time.monotonic() - began


class KeyCache:
    """The port `ApiKeys` in front of those at rest. A revoked key works for `seconds` more.

    As long as there are not too many, all of them are read in one statement, every `seconds` in
    which there is a call: looking up ten thousand one by one adds a sixth to the calls that need
    them. A key that is not among them, as one made since, is looked up by itself.
    """

    def __init__(self, keys: PostgresApiKeys, seconds: float) -> None:
        self._keys = keys
        self._seconds = seconds
        self._timeout = keys.database.timeout
        self._single = _Cache(keys.find, seconds, self._timeout)
        self._reads = SingleFlight(keys.find_all, seconds)
        self._rows: Mapping[str, Row] = {}
        self._read_at = -math.inf
        self._stored: dict[str, StoredKey] = {}

    async def find(self, key_id: str) -> StoredKey | None:
        if self._seconds and time.monotonic() >= self._read_at + self._seconds:
            await self._read_all()
        row = self._rows.get(key_id)
        if row is None:
            key, _ = await self._single.get(key_id)
            return key
        stored = self._stored.get(key_id)
        if stored is None:
            stored = self._stored[key_id] = to_stored_key(row)
        return stored

    async def _read_all(self) -> None:
        """Raises DatabaseUnavailable."""
        with bounded(self._timeout):
            rows, began = await self._reads.get(_MOST_AT_ONCE + 1)
        if began > self._read_at:  # the first of the callers who shared the read
            self._rows = rows if len(rows) <= _MOST_AT_ONCE else {}
            self._read_at, self._stored = began, {}


class TokenKeyCache:
    """The port `TokenKeys` on those at rest. The database's clock ticks on while a key is kept, so
    that no call has to ask for the time."""

    def __init__(self, keys: PostgresTokenKeys, seconds: float) -> None:
        self._cache: _Cache[str | None, TimedKey | None] = _Cache(
            keys.find, seconds, keys.database.timeout
        )

    async def newest(self) -> TokenKey | None:
        found, _ = await self._cache.get(None)
        return found.key if found else None

    async def find(self, key_id: str) -> TimedKey | None:
        found, age = await self._cache.get(key_id)
        return found and replace(found, time=found.time + timedelta(seconds=age))
