"""Listings of the bucket: the port `ObjectListing` on S3.

S3 lists objects in the order of their keys. Another order would make an audit slower, not wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from attachery_service.domain.audit import ListedObject, ObjectPage
from attachery_service.domain.identifiers import parse_tenant_id, parse_uuid
from attachery_service.domain.validation import RuleViolation
from attachery_service.s3.client import Storage
from attachery_service.s3.errors import translate_errors

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import ListObjectsV2OutputTypeDef, ObjectTypeDef

_ID_AND_NONCE: Final = 2


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Names of tenants, and the token of the next page; empty on the last page."""

    names: Sequence[str]
    next_token: str


@dataclass(frozen=True, slots=True)
class S3ObjectListing:
    """Lists the objects of one bucket by tenant.

    All methods raise StorageUnavailable or StorageMisconfigured.
    """

    storage: Storage

    async def tenants(self, token: str) -> TenantPage:
        """Lists the names of tenants with objects; omits names that no tenant can have."""
        start = self._key("")
        page = await self._list(start, token, Delimiter="/")
        found = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        names = [prefix.removeprefix(start).removesuffix("/") for prefix in found]
        next_token = page["NextContinuationToken"] if page["IsTruncated"] else ""
        return TenantPage([name for name in names if _is_tenant(name)], next_token)

    async def objects(self, tenant_id: str, after: str) -> ObjectPage:
        """Lists a tenant's objects after a path, ordered by key."""
        start = self._key(f"{tenant_id}/")
        page = await self._list(start, "", **({"StartAfter": start + after} if after else {}))
        while page["IsTruncated"] and not page.get("Contents"):
            page = await self._list(start, page["NextContinuationToken"])
        found = [_listed(start, entry) for entry in page.get("Contents", [])]
        return ObjectPage(found, more=page["IsTruncated"])

    async def keys_of(self, tenant_id: str, attachment_id: UUID) -> Sequence[str]:
        """Lists the keys of one session's objects, up to 1,000."""
        page = await self._list(self._key(f"{tenant_id}/{attachment_id}/"), "")
        return [entry["Key"] for entry in page.get("Contents", [])]

    async def _list(self, prefix: str, token: str, **more: Any) -> ListObjectsV2OutputTypeDef:
        options = self.storage.options
        if token:
            more["ContinuationToken"] = token
        with translate_errors(options.operation_timeout):
            page = await self.storage.s3.list_objects_v2(
                Bucket=options.bucket, Prefix=prefix, **more
            )
            _require_prefix(page, prefix)
            return page

    def _key(self, rest: str) -> str:
        own = self.storage.options.key()
        return f"{own}/{rest}" if own else rest


def _require_prefix(page: ListObjectsV2OutputTypeDef, prefix: str) -> None:
    """Raises ValueError if the response is not of this listing: the sweep deletes what it names."""
    keys = [entry["Key"] for entry in page.get("Contents", [])]
    keys += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    if not all(key.startswith(prefix) for key in keys):
        raise ValueError("keys of another listing")


def _listed(start: str, entry: ObjectTypeDef) -> ListedObject:
    path = entry["Key"].removeprefix(start)
    return ListedObject(
        key=entry["Key"],
        path=path,
        attachment_id=_attachment_id(path),
        etag=entry["ETag"].strip('"'),
        size=entry["Size"],
        update_time=entry["LastModified"],
    )


def _attachment_id(path: str) -> UUID | None:
    parts = path.split("/")
    if len(parts) != _ID_AND_NONCE:
        return None
    try:
        return parse_uuid(parts[0])
    except RuleViolation:
        return None


def _is_tenant(name: str) -> bool:
    try:
        parse_tenant_id(name)
    except RuleViolation:
        return False
    return True
