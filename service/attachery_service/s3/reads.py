"""Reads of metadata and first bytes: through the SDK, or over the service's own connections."""

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
    """The reads that every Complete makes. Raises the faults that `translate_errors` translates."""

    async def head(self, key: str) -> Mapping[str, str] | None:
        """Returns the headers of the object, with lower-case names; None if it is missing."""

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """Reads at most `count` bytes. Raises PreconditionChanged."""


@dataclass(frozen=True, slots=True)
class SdkReads:
    """Reads through the SDK, with its attempts and its discovery of regions."""

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
        """Opens the body of the object with this ETag.

        The caller must close it: an unread body that stays open leaks its connection.
        """
        try:
            answer = await self.client.get_object(
                Bucket=self.bucket, Key=source.key, IfMatch=quoted(source.etag), **more
            )
        except ClientError as error:
            raise changed_or(error) from error
        body, etag = answer["Body"], answer.get("ETag", "")
        # Some servers ignore the condition.
        if etag.strip('"') != source.etag:
            body.close()
            raise PreconditionChanged if etag else StorageUnavailable
        return body


class Readable(Protocol):
    """A body of the SDK or of the HTTP client."""

    async def read(self, amount: int, /) -> bytes: ...


async def read(body: Readable, count: int) -> bytes:
    """Reads `count` bytes of a body, fewer only at its end; a single `read` may return fewer."""
    taken = bytearray()
    while len(taken) < count and (more := await body.read(count - len(taken))):
        taken += more
    return bytes(taken)


def first(count: int) -> str:
    """Builds a Range header for the first bytes."""
    return f"bytes=0-{count - 1}"


def quoted(etag: str) -> str:
    return f'"{etag}"'


def changed_or(error: ClientError) -> Exception:
    """Returns the port's exception for a refused read or copy; `error` if the port has none."""
    if is_archived(error):
        return UnreadableObject(STORAGE_CLASS)
    return PreconditionChanged() if is_changed(error) else error
