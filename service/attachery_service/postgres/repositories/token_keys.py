"""The stored signing keys of tokens."""

from __future__ import annotations

from dataclasses import dataclass

from attachery_service.domain.signed_tokens import TimedKey, TokenKey
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query


@dataclass(frozen=True, slots=True)
class PostgresTokenKeys:
    database: Database

    async def find(self, key_id: str | None) -> TimedKey | None:
        """The key of this id, or the newest of all. Raises DatabaseUnavailable."""
        row = await self.database.row(query("keys/find_session_token_key"), key_id=key_id)
        if row is None:
            return None
        return TimedKey(TokenKey(row["key_id"], row["secret"]), row["read_time"])
