"""API keys at rest: the port `ApiKeys` on Postgres, and what `attachery keys` does."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.identity import Principal, Scope
from attachery_service.ports import StoredKey
from attachery_service.store.database import Database
from attachery_service.store.queries import query


@dataclass(frozen=True, slots=True)
class PostgresApiKeys:
    """Each method runs the statement of its name."""

    database: Database

    async def find(self, key_id: str) -> StoredKey | None:
        row = await self.database.row(query("find_api_key"), key_id)
        if row is None:
            return None
        # A scope this release does not know grants nothing in it.
        scopes = frozenset(scope for scope in Scope if scope.value in row["scopes"])
        tenants = None if row["tenants"] is None else frozenset(row["tenants"])
        return StoredKey(
            row["secret_digest"], Principal(name=row["name"], tenants=tenants, scopes=scopes)
        )

    async def store(self, key_id: str, key: StoredKey) -> None:
        """Adds a key, or replaces the one of this id. Raises DatabaseUnavailable."""
        principal = key.principal
        await self.database.row(
            query("store_api_key"),
            key_id,
            principal.name,
            key.secret_digest,
            None if principal.tenants is None else sorted(principal.tenants),
            sorted(principal.scopes),
        )
