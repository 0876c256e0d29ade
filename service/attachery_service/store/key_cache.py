"""API keys kept for seconds, so that not every call asks the database who is calling."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from attachery_service.ports import ApiKeys, StoredKey

# Unknown ids are kept too, so that guessing costs no statement each; this bounds what they take.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    key: StoredKey | None
    until: float


class KeyCache:
    """The port `ApiKeys` in front of another one. A revoked key works for `seconds` more."""

    def __init__(self, keys: ApiKeys, seconds: float) -> None:
        self._keys = keys
        self._seconds = seconds
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def find(self, key_id: str) -> StoredKey | None:
        entry, now = self._entries.get(key_id), asyncio.get_running_loop().time()
        if entry is not None and now < entry.until:
            return entry.key
        key = await self._keys.find(key_id)
        self._entries[key_id] = _Entry(key, now + self._seconds)
        self._entries.move_to_end(key_id)
        if len(self._entries) > _MOST:
            self._entries.popitem(last=False)
        return key
