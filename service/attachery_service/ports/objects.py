"""Objects in object storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from attachery_service.domain.audit import ObjectPage
from attachery_service.domain.checks import StoredObject
from attachery_service.domain.checksums import Algorithm, Checksums
from attachery_service.domain.errors import AttacheryError


class ObjectReads(Protocol):
    """Reads objects by key. All methods raise StorageUnavailable or StorageMisconfigured."""

    async def head(self, key: str) -> StoredObject | None:
        """Returns the object's metadata, or None if it is missing."""

    async def first_bytes(self, source: StoredObject, count: int) -> bytes:
        """Reads the first `count` bytes, or all if there are fewer.

        Raises PreconditionChanged, UnreadableObject.
        """

    async def digest(self, source: StoredObject, algorithms: Sequence[Algorithm]) -> Checksums:
        """Computes digests of the whole object, in constant memory.

        Raises PreconditionChanged, UnreadableObject.
        """


class ObjectStore(ObjectReads, Protocol):
    """Changes objects by key. All methods raise StorageUnavailable or StorageMisconfigured."""

    async def copy(self, source: StoredObject, key: str, content_type: str) -> None:
        """Copies an object within the bucket.

        Raises PreconditionChanged if the object is no longer `source`, and UnreadableObject.
        """

    async def delete(self, key: str) -> None:
        """Deletes an object. Succeeds if it is missing."""

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, AttacheryError]:
        """Deletes objects. Returns the error of each object that may still exist."""


class ObjectListing(Protocol):
    """Lists objects. All methods raise StorageUnavailable or StorageMisconfigured."""

    async def objects(self, tenant_id: str, after: str) -> ObjectPage:
        """Lists a tenant's objects after a path, ordered by key."""

    async def keys_of(self, tenant_id: str, attachment_id: UUID) -> Sequence[str]:
        """Lists the keys of one session's objects, up to 1,000."""
