"""Issue and revocation of connection tokens: the port `Connections` on PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from attachery_service.domain.signed_tokens import TimedKey, TokenKey
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query


@dataclass(frozen=True, slots=True)
class PostgresConnections:
    """Each method runs one statement. All raise DatabaseUnavailable."""

    database: Database

    async def issue_time(self, tenant_id: str, subject: str) -> TimedKey | None:
        row = await self.database.row(
            query("connections/issue_time"), tenant_id=tenant_id, subject=subject
        )
        if row is None:
            return None
        return TimedKey(TokenKey(row["key_id"], row["secret"]), row["read_time"])

    async def revoke(self, tenant_id: str, subject: str) -> datetime:
        row = await self.database.row(
            query("connections/revoke"), tenant_id=tenant_id, subject=subject
        )
        if row is None:
            raise LookupError("the statement returns one row, always")
        revoke_time: datetime = row["revoke_time"]
        return revoke_time

    async def find_revoke_time(self, tenant_id: str, subject: str) -> datetime | None:
        """Returns None if no tokens of the subject were revoked."""
        row = await self.database.row(
            query("connections/find_revoke_time"), tenant_id=tenant_id, subject=subject
        )
        return None if row is None else row["revoke_time"]
