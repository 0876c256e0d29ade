"""Two ways to look at an object: through the SDK, or over `pool` where the own signer is equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from attachery_service.domain.checks import StoredObject
from attachery_service.domain.errors import StorageUnavailable
from attachery_service.domain.object_faults import PreconditionChanged, UnreadableObject
from attachery_service.s3.errors import is_archived, is_changed, status_of
from attachery_service.s3.http.headers import STORAGE_CLASS

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3 import S3Client


class Reads(Protocol):
    """Reads of one bucket that happen in every Complete. Raises what `bounded` knows."""

    async def head(self, key: str) -> Mapping[str, str] | None:
        """The headers of an object, their names in lower case; None if it is not there."""

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """As many as there are, but `count` at most. Raises PreconditionChanged."""


@dataclass(frozen=True, slots=True)
class SdkReads:
    """With the SDK's attempts, and what it learns of regions on the way."""

    client: S3Client
    bucket: str

    async def head(self, key: str) -> Mapping[str, str] | None:
        try:
            head = await self.client.head_object(
                Bucket=self.bucket, Key=key, ChecksumMode="ENABLED"
            )
        except ClientError as error:
            if status_of(error) != HTTPStatus.NOT_FOUND:
                raise
            return None
        return head["ResponseMetadata"]["HTTPHeaders"]

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        body = await self.open(source, Range=first(count))
        async with body:
            return await read(body, count)

    async def open(self, source: StoredObject, **more: Any) -> StreamingBody:
        """The body of exactly this object; left open, an unread one would leak its connection."""
        try:
            answer = await self.client.get_object(
                Bucket=self.bucket, Key=source.key, IfMatch=quoted(source.etag), **more
            )
        except ClientError as error:
            raise changed_or(error) from error
        body, etag = answer["Body"], answer.get("ETag", "")
        # Some stores ignore the condition.
        if etag.strip('"') != source.etag:
            body.close()
            raise PreconditionChanged if etag else StorageUnavailable
        return body


class Readable(Protocol):
    """A body of the SDK or of the HTTP client."""

    async def read(self, amount: int, /) -> bytes: ...


async def read(body: Readable, count: int) -> bytes:
    """The next `count` bytes of a body, fewer only at its end: one read returns what is there."""
    taken = bytearray()
    while len(taken) < count and (more := await body.read(count - len(taken))):
        taken += more
    return bytes(taken)


def first(count: int) -> str:
    """A Range header."""
    return f"bytes=0-{count - 1}"


def quoted(etag: str) -> str:
    return f'"{etag}"'


def changed_or(error: ClientError) -> Exception:
    """The exception of the port for a refused read or copy; `error` if the port has none."""
    if is_archived(error):
        return UnreadableObject(STORAGE_CLASS)
    return PreconditionChanged() if is_changed(error) else error
