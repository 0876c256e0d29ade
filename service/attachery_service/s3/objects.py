"""Objects in the bucket: head, copy, read and delete with the service's own credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from botocore.exceptions import ClientError

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import AttacheryError, StorageUnavailable
from attachery_service.s3.client import Storage
from attachery_service.s3.deletion import delete_many
from attachery_service.s3.errors import status_of, transferring, translate_errors
from attachery_service.s3.hashing import ObjectHasher
from attachery_service.s3.http.fast_reads import choose_reads
from attachery_service.s3.parse_head import parse_head
from attachery_service.s3.reads import Reads, SdkReads, changed_or, quoted
from attachery_service.s3.second_read import S3SecondLook


class S3ObjectStore:
    """Objects by key in one bucket.

    All methods of one call share a budget of `operation_timeout` seconds; `copy`, `digest` and
    `delete_many` share another one of `transfer_timeout`, since their duration grows with the
    object. All raise StorageUnavailable or StorageMisconfigured.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._s3 = storage.s3
        self._bucket = storage.options.bucket
        self._operation_timeout = storage.options.operation_timeout
        self._transfer_timeout = storage.options.transfer_timeout
        self._sdk = SdkReads(storage.s3, storage.options.bucket)
        self._hasher = ObjectHasher(storage, self._sdk)
        self._chosen: Reads | None = None

    async def head(self, key: str) -> StoredObject | None:
        """Returns the object's metadata, with object storage's checksums; None if it is missing."""
        with translate_errors(self._operation_timeout):
            try:
                headers = await (await self._reads()).head(key)
            except ClientError as error:
                # The response to a HEAD has no body: only its status shows the cause.
                if status_of(error) != HTTPStatus.BAD_REQUEST:
                    raise
                return await S3SecondLook(self._storage).describe_unreadable(key, error)
            if headers is None:
                # A HEAD response does not distinguish a missing object from a missing bucket.
                await self._s3.head_bucket(Bucket=self._bucket)
                return None
            return parse_head(key, headers)

    async def copy(self, source: StoredObject, key: str, content_type: str) -> None:
        """Copies within the bucket, with this type and none of the uploader's other metadata.

        Raises PreconditionChanged if the source is missing or was replaced.
        """
        with transferring(self._transfer_timeout):
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
            # Object storage answers 200 before it copies; only the ETag confirms the copy.
            if not answer.get("CopyObjectResult", {}).get("ETag"):
                raise StorageUnavailable

    async def delete(self, key: str) -> None:
        """Deletes an object; a missing one is no error."""
        with translate_errors(self._operation_timeout):
            await self._s3.delete_object(Bucket=self._bucket, Key=key)

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, AttacheryError]:
        """Deletes objects; returns the error of each object that may still exist.

        A missing object is no error. Takes at most `transfer_timeout` seconds.
        """
        return await delete_many(self._storage, keys)

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """Reads the first `count` bytes, or all if there are fewer. Raises PreconditionChanged."""
        if count == 0 or source.size == 0:
            # An empty object has no range to request.
            return b""
        with translate_errors(self._operation_timeout):
            head = await (await self._reads()).first_bytes(source, count)
            return _whole(head, min(count, source.size))

    async def digest(self, source: StoredObject, algorithms: Sequence[Algorithm]) -> Checksums:
        """Computes digests of the whole object in one read. Raises PreconditionChanged."""
        return await self._hasher.digest(source, algorithms)

    async def _reads(self) -> Reads:
        if self._chosen is None:
            self._chosen = await choose_reads(self._storage, self._sdk)
        return self._chosen


def _whole(head: bytes, size: int) -> bytes:
    if len(head) != size:
        raise StorageUnavailable
    return head
