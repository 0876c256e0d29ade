"""Checksums of whole objects, computed from their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

from attachery_service.aio.deadline import WaitBudget, transfer_budget
from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.errors import StorageUnavailable
from attachery_service.s3.client import Storage
from attachery_service.s3.digests import Hash, new_hash
from attachery_service.s3.errors import transferring
from attachery_service.s3.reads import SdkReads, read

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody

# Bytes. At this size, passing a piece to a thread costs little compared with hashing it.
_PIECE: Final = 1024**2


class ObjectHasher:
    """Hashes `digest_concurrency` objects at a time, each in constant memory.

    `budget`: returns the current call's budget, which its reads share.
    """

    def __init__(
        self, storage: Storage, sdk: SdkReads, budget: Callable[[], WaitBudget] = transfer_budget
    ) -> None:
        self._sdk = sdk
        self._budget = budget
        self._timeout = storage.options.transfer_timeout
        self._slots = asyncio.Semaphore(storage.options.digest_concurrency)

    async def digest(
        self, source: StoredObject, algorithms: Sequence[Algorithm], **request: str
    ) -> Checksums:
        """Reads the object once and computes these checksums; `request` adds to the GET.

        Takes at most the rest of the call's budget of `transfer_timeout` seconds. Raises
        PreconditionChanged, StorageUnavailable, StorageMisconfigured.
        """
        if not algorithms:
            return NO_CHECKSUMS
        hashes = {algorithm: new_hash(algorithm) for algorithm in algorithms}
        with transferring(self._timeout, self._budget()):
            async with self._slots:
                size = await self._feed(hashes.values(), source, **request)
        if size != source.size:
            raise StorageUnavailable
        return Checksums.of({a: h.hexdigest() for a, h in hashes.items()})

    async def _feed(self, hashes: Collection[Hash], source: StoredObject, **request: str) -> int:
        """Returns the number of bytes read."""
        body, size = await self._sdk.open(source, **request), 0
        async with body:
            async for piece in _pieces(body):
                await asyncio.to_thread(_update, hashes, piece)
                size += len(piece)
        return size


async def _pieces(body: StreamingBody) -> AsyncIterator[bytes]:
    while piece := await read(body, _PIECE):
        yield piece


def _update(hashes: Collection[Hash], piece: bytes) -> None:
    for each in hashes:
        each.update(piece)
