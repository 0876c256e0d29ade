"""Stored API keys: the port `ApiKeys` on PostgreSQL, and the changes of `attachery keys`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from attachery_service.domain.credentials import StoredKey
from attachery_service.domain.identity import Principal, Scope
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """The public part of a key. `revoke_time` in the future: valid until then."""

    key_id: str
    principal: Principal
    create_time: datetime
    revoke_time: datetime | None


@dataclass(frozen=True, slots=True)
class PostgresApiKeys:
    """Each method runs the statement of its name. All raise DatabaseUnavailable."""

    database: Database

    async def find(self, key_id: str) -> StoredKey | None:
        row = await self.database.row(query("keys/find_api_key"), key_id=key_id)
        return None if row is None else to_stored_key(row)

    async def find_all(self, limit: int) -> Mapping[str, Row]:
        """Reads up to `limit` usable keys by id, as rows that are decoded when they are needed."""
        rows = await self.database.rows(query("keys/find_api_keys"), limit=limit)
        return {row["key_id"]: row for row in rows}

    async def list(self) -> Sequence[ListedKey]:
        """All keys, revoked and expired ones too, the oldest first."""
        rows = await self.database.rows(query("keys/list_api_keys"))
        return [
            ListedKey(
                key_id=row["key_id"],
                principal=_principal(row),
                create_time=row["create_time"],
                revoke_time=row["revoke_time"],
            )
            for row in rows
        ]

    async def store(self, key_id: str, key: StoredKey, ttl: timedelta | None = None) -> None:
        """Adds a key, or replaces the one of this id. It expires after `ttl`, or never."""
        principal = key.principal
        await self.database.row(
            query("keys/store_api_key"),
            key_id=key_id,
            name=principal.name,
            secret_digest=key.secret_digest,
            tenants=None if principal.tenants is None else sorted(principal.tenants),
            scopes=sorted(principal.scopes),
            ttl=ttl,
        )

    async def revoke(self, key_id: str) -> bool:
        """Ends a key; False if there is none of this id."""
        row = await self.database.row(query("keys/revoke_api_key"), key_id=key_id)
        return row is not None

    async def rotate(
        self,
        key_id: str,
        new_id: str,
        new_digest: bytes,
        overlap: timedelta,
        ttl: timedelta | None = None,
    ) -> bool:
        """Adds a key for the same principal, and ends the old one after `overlap`.

        The new one expires when the old one would have, or after `ttl` if given. Returns False if
        there is no usable key of this id.
        """
        row = await self.database.row(
            query("keys/rotate_api_key"),
            key_id=key_id,
            new_id=new_id,
            secret_digest=new_digest,
            overlap=overlap,
            ttl=ttl,
        )
        return row is not None


def to_stored_key(row: Row) -> StoredKey:
    return StoredKey(row["secret_digest"], _principal(row))


def _principal(row: Row) -> Principal:
    # A scope this release does not know grants nothing in it.
    scopes = frozenset(scope for scope in Scope if scope.value in row["scopes"])
    tenants = None if row["tenants"] is None else frozenset(row["tenants"])
    return Principal(
        name=row["name"], tenants=tenants, scopes=scopes, expire_time=row["expire_time"]
    )
