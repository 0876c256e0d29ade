"""The objects themselves: described, copied, read and deleted through the service's own access."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.errors import AttacheryError, StorageUnavailable
from attachery_service.storage.client import Storage
from attachery_service.storage.deletion import delete_many
from attachery_service.storage.descriptions import described
from attachery_service.storage.digests import Hash, new_hash
from attachery_service.storage.fast_reads import choose_reads
from attachery_service.storage.faults import bounded
from attachery_service.storage.reads import Reads, SdkReads, changed_or, quoted, read

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody

# Large enough that handing a piece to a thread costs little beside hashing it.
_PIECE: Final = 1024**2


class S3ObjectStore:
    """Objects by key in one bucket.

    Every method takes `operation_timeout` seconds at most, but `copy`, `digest` and `delete_many`
    take `transfer_timeout`; all raise StorageUnavailable or StorageMisconfigured.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._s3 = storage.s3
        self._bucket = storage.options.bucket
        self._operation_timeout = storage.options.operation_timeout
        self._transfer_timeout = storage.options.transfer_timeout
        self._digest_slots = asyncio.Semaphore(storage.options.digest_concurrency)
        self._sdk = SdkReads(storage.s3, storage.options.bucket)
        self._chosen: Reads | None = None

    async def describe(self, key: str) -> StoredObject | None:
        """What the store says of an object, its checksums included; None if there is none."""
        with bounded(self._operation_timeout):
            headers = await (await self._reads()).head(key)
            if headers is None:
                # HEAD has no body to tell a missing object from a missing bucket.
                await self._s3.head_bucket(Bucket=self._bucket)
                return None
            return described(key, headers)

    async def copy(self, source: StoredObject, key: str, content_type: str) -> None:
        """Copies within the store, with this type and none of the uploader's other metadata.

        Raises PreconditionChanged if the source is gone or another object by now.
        """
        with bounded(self._transfer_timeout):
            try:
                answer = await self._s3.copy_object(
                    Bucket=self._bucket,
                    Key=key,
                    CopySource={"Bucket": self._bucket, "Key": source.key},
                    CopySourceIfMatch=quoted(source.etag),
                    MetadataDirective="REPLACE",
                    ContentType=content_type,
                )
            except ClientError as error:
                raise changed_or(error) from error
            # A store answers 200 before it copies; the ETag says that it has.
            if not answer.get("CopyObjectResult", {}).get("ETag"):
                raise StorageUnavailable

    async def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is no error."""
        with bounded(self._operation_timeout):
            await self._s3.delete_object(Bucket=self._bucket, Key=key)

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, AttacheryError]:
        """Deletes objects; those that may still be there, each with what went wrong.

        One that is not there is no error. Each thousand takes `transfer_timeout` seconds at most.
        """
        return await delete_many(self._storage, keys)

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """The first `count` bytes, fewer if there are fewer. Raises PreconditionChanged."""
        if count == 0 or source.size == 0:
            # No range of an empty object can be asked for.
            return b""
        with bounded(self._operation_timeout):
            head = await (await self._reads()).first_bytes(source, count)
            return _whole(head, min(count, source.size))

    async def digest(self, source: StoredObject, algorithms: Sequence[Algorithm]) -> Checksums:
        """Reads the object once for all algorithms, about 1 MiB of it in memory at a time.

        Waiting for one of the `digest_concurrency` places counts towards the time it may take.
        Raises PreconditionChanged.
        """
        if not algorithms:
            return NO_CHECKSUMS
        hashes = {algorithm: new_hash(algorithm) for algorithm in algorithms}
        with bounded(self._transfer_timeout):
            async with self._digest_slots:
                size = await self._feed(hashes.values(), source)
        if size != source.size:
            raise StorageUnavailable
        return Checksums.of({a: h.hexdigest() for a, h in hashes.items()})

    async def _feed(self, hashes: Collection[Hash], source: StoredObject) -> int:
        """How many bytes there were."""
        body, size = await self._sdk.open(source), 0
        async with body:
            async for piece in _pieces(body):
                await asyncio.to_thread(_update, hashes, piece)
                size += len(piece)
        return size

    async def _reads(self) -> Reads:
        if self._chosen is None:
            self._chosen = await choose_reads(self._storage, self._sdk)
        return self._chosen


async def _pieces(body: StreamingBody) -> AsyncIterator[bytes]:
    while piece := await read(body, _PIECE):
        yield piece


def _whole(head: bytes, size: int) -> bytes:
    if len(head) != size:
        raise StorageUnavailable
    return head


def _update(hashes: Collection[Hash], piece: bytes) -> None:
    for each in hashes:
        each.update(piece)
