"""The objects themselves: described, copied, read and deleted through the service's own access."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.errors import AttacheryError, StorageUnavailable
from attachery_service.ports import PreconditionChanged
from attachery_service.storage.client import Storage
from attachery_service.storage.deletion import delete_many
from attachery_service.storage.digests import Hash, new_hash, to_hex
from attachery_service.storage.faults import bounded, is_changed, status_of

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3.type_defs import HeadObjectOutputTypeDef

# Large enough that handing a piece to a thread costs little beside hashing it.
_PIECE: Final = 1024**2
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_OWN_KEY_ENCRYPTION: Final = frozenset({"aws:kms", "aws:kms:dsse"})
_ATTESTED_AS: Final = {
    Algorithm.SHA256: "ChecksumSHA256",
    Algorithm.CRC32C: "ChecksumCRC32C",
    Algorithm.CRC64NVME: "ChecksumCRC64NVME",
}


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

    async def describe(self, key: str) -> StoredObject | None:
        """What the store says of an object, its checksums included; None if there is none."""
        async with bounded(self._operation_timeout):
            try:
                head = await self._s3.head_object(
                    Bucket=self._bucket, Key=key, ChecksumMode="ENABLED"
                )
            except ClientError as error:
                if status_of(error) != HTTPStatus.NOT_FOUND:
                    raise
                # HEAD has no body to tell a missing object from a missing bucket.
                await self._s3.head_bucket(Bucket=self._bucket)
                return None
            return _described(key, head)

    async def copy(self, source: StoredObject, key: str, content_type: str) -> None:
        """Copies within the store, with this type and none of the uploader's other metadata.

        Raises PreconditionChanged if the source is gone or another object by now.
        """
        async with bounded(self._transfer_timeout):
            try:
                answer = await self._s3.copy_object(
                    Bucket=self._bucket,
                    Key=key,
                    CopySource={"Bucket": self._bucket, "Key": source.key},
                    CopySourceIfMatch=_quoted(source.etag),
                    MetadataDirective="REPLACE",
                    ContentType=content_type,
                )
            except ClientError as error:
                raise _changed_or(error) from error
            # A store answers 200 before it copies; the ETag says that it has.
            if not answer.get("CopyObjectResult", {}).get("ETag"):
                raise StorageUnavailable

    async def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is no error."""
        async with bounded(self._operation_timeout):
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
        async with bounded(self._operation_timeout):
            body = await self._open(source, Range=f"bytes=0-{count - 1}")
            async with body:
                head = await _read(body, count)
            return _whole(head, min(count, source.size))

    async def digest(self, source: StoredObject, algorithms: Sequence[Algorithm]) -> Checksums:
        """Reads the object once for all algorithms, about 1 MiB of it in memory at a time.

        Waiting for one of the `digest_concurrency` places counts towards the time it may take.
        Raises PreconditionChanged.
        """
        if not algorithms:
            return NO_CHECKSUMS
        hashes = {algorithm: new_hash(algorithm) for algorithm in algorithms}
        async with bounded(self._transfer_timeout), self._digest_slots:
            body = await self._open(source)
            async with body:
                size = 0
                async for piece in _pieces(body):
                    await asyncio.to_thread(_update, hashes.values(), piece)
                    size += len(piece)
        if size != source.size:
            raise StorageUnavailable
        return Checksums.of({a: h.hexdigest() for a, h in hashes.items()})

    async def _open(self, source: StoredObject, **more: Any) -> StreamingBody:
        """The body of exactly this object; left open, an unread one would leak its connection."""
        try:
            answer = await self._s3.get_object(
                Bucket=self._bucket, Key=source.key, IfMatch=_quoted(source.etag), **more
            )
        except ClientError as error:
            raise _changed_or(error) from error
        body, etag = answer["Body"], answer.get("ETag", "")
        # Some stores ignore the condition.
        if etag.strip('"') != source.etag:
            body.close()
            raise PreconditionChanged if etag else StorageUnavailable
        return body


def _described(key: str, head: HeadObjectOutputTypeDef) -> StoredObject:
    etag = head["ETag"].strip('"')
    return StoredObject(
        key=key,
        size=head["ContentLength"],
        etag=etag,
        etag_is_md5=_is_md5(etag, head),
        content_type=head.get("ContentType", ""),
        content_encoding=head.get("ContentEncoding", ""),
        attested=_attested(etag, head),
    )


def _is_md5(etag: str, head: HeadObjectOutputTypeDef) -> bool:
    if head.get("ServerSideEncryption", "") in _OWN_KEY_ENCRYPTION:
        return False
    return "SSECustomerAlgorithm" not in head and _MD5.fullmatch(etag) is not None


def _attested(etag: str, head: HeadObjectOutputTypeDef) -> Checksums:
    # Stores from before the type existed do not name it; there, one part is the whole object.
    kind = head.get("ChecksumType", "COMPOSITE" if "-" in etag else "FULL_OBJECT")
    if kind != "FULL_OBJECT":
        return NO_CHECKSUMS
    values = {algorithm: head.get(name) for algorithm, name in _ATTESTED_AS.items()}
    digests = {a: digest for a, v in values.items() if v and (digest := to_hex(a, str(v)))}
    return Checksums.of(digests)


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _changed_or(error: ClientError) -> Exception:
    return PreconditionChanged() if is_changed(error) else error


async def _read(body: StreamingBody, count: int) -> bytes:
    """The next `count` bytes of a body, fewer only at its end: one read returns what is there."""
    taken = bytearray()
    while len(taken) < count and (more := await body.read(count - len(taken))):
        taken += more
    return bytes(taken)


async def _pieces(body: StreamingBody) -> AsyncIterator[bytes]:
    while piece := await _read(body, _PIECE):
        yield piece


def _whole(head: bytes, size: int) -> bytes:
    if len(head) != size:
        raise StorageUnavailable
    return head


def _update(hashes: Collection[Hash], piece: bytes) -> None:
    for each in hashes:
        each.update(piece)
