"""Second read of an object by other requests, before an upload is rejected.

A GET replaces the HEAD, and hashing replaces the checksums that object storage reports. A session
becomes FAILED and its object is deleted only if both reads agree: object storage and its
intermediaries (caches, compressing proxies) sometimes answer HEAD and GET differently. This is the
failure path only, so it uses the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from botocore.exceptions import ClientError

from attachery_service.aio.deadline import confirmation_budget
from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import NO_CHECKSUMS, Algorithm, Checksums
from attachery_service.domain.errors import StorageUnavailable
from attachery_service.s3.client import Storage
from attachery_service.s3.errors import code_of, is_archived, status_of, translate_errors
from attachery_service.s3.hashing import ObjectHasher
from attachery_service.s3.http.headers import CUSTOMER_KEY, STORAGE_CLASS
from attachery_service.s3.parse_head import parse_head
from attachery_service.s3.reads import SdkReads, read

_EVERYTHING: Final = "bytes=0-"
_FIRST_BYTE: Final = "bytes=0-0"


class S3SecondLook:
    """Implements the port `ObjectReads`. Raises StorageUnavailable or StorageMisconfigured."""

    def __init__(self, storage: Storage) -> None:
        self._s3 = storage.s3
        self._bucket = storage.options.bucket
        self._timeout = storage.options.operation_timeout
        self._sdk = SdkReads(storage.s3, self._bucket)
        self._hasher = ObjectHasher(storage, self._sdk, confirmation_budget)

    async def head(self, key: str) -> StoredObject | None:
        """Returns the metadata by GET, or by a listing if the bytes cannot be read.

        The result contains no checksums, so verification hashes the bytes. None: missing.
        """
        with translate_errors(self._timeout):
            try:
                headers = await self._get_headers(key)
            except ClientError as error:
                if status_of(error) == HTTPStatus.NOT_FOUND and code_of(error) != "NoSuchBucket":
                    return None
                if not (is_archived(error) or status_of(error) == HTTPStatus.BAD_REQUEST):
                    raise
                return await self.describe_unreadable(key, error)
            return parse_head(key, headers, trust_checksums=False)

    async def describe_unreadable(self, key: str, refusal: ClientError) -> StoredObject | None:
        """Returns the metadata by a listing, after object storage refused to read the object.

        A listed object proves that credentials and bucket are right: the upload caused the refusal.
        Raises `refusal` if the object is not listed.
        """
        page = await self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        found = [entry for entry in page.get("Contents", []) if entry["Key"] == key]
        if not found:
            raise refusal
        return StoredObject(
            key=key,
            size=found[0]["Size"],
            etag=found[0]["ETag"].strip('"'),
            etag_is_md5=False,
            content_type="",
            content_encoding="",
            server_checksums=NO_CHECKSUMS,
            unreadable=_cause(refusal),
        )

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """Reads the first `count` bytes of a GET without a range. Raises PreconditionChanged."""
        with translate_errors(self._timeout):
            body = await self._sdk.open(source)
            async with body:
                first = await read(body, min(count, source.size))
                # Closes the connection: the rest of a large object is not worth reading.
                body.close()
        if len(first) != min(count, source.size):
            raise StorageUnavailable
        return first

    async def digest(self, source: StoredObject, algorithms: Sequence[Algorithm]) -> Checksums:
        """Hashes the object, read by a ranged GET. Raises PreconditionChanged.

        Has `transfer_timeout` seconds of its own, independent of the first read.
        """
        more = {"Range": _EVERYTHING} if source.size else {}
        return await self._hasher.digest(source, algorithms, **more)

    async def _get_headers(self, key: str) -> Mapping[str, str]:
        """Returns the headers of the object, with `content-length` of the whole object."""
        try:
            return await self._headers_of_get(key, Range=_FIRST_BYTE)
        except ClientError as error:
            # An empty object has no first byte.
            if status_of(error) != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        return await self._headers_of_get(key)

    async def _headers_of_get(self, key: str, **more: str) -> Mapping[str, str]:
        answer = await self._s3.get_object(Bucket=self._bucket, Key=key, **more)  # type: ignore[arg-type]
        answer["Body"].close()
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        total = headers.get("content-range", "").rpartition("/")[2]
        return {**headers, "content-length": total} if total else headers


def _cause(refusal: ClientError) -> str:
    """The upload header that prevents reading the bytes."""
    return STORAGE_CLASS if is_archived(refusal) else CUSTOMER_KEY
