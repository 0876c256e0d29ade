"""Fills a database with copies of sessions that the service itself has created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# A copy has its own id and its own place in the quota counters; it shares the template's object.
_OWN: Final[Mapping[str, str]] = {
    "tenant_id": "$4",
    "attachment_id": "uuidv7()",
    "usage_shard": "n % 16",
    "create_time": "t.create_time - n * interval '1 microsecond'",
}
_COPY_EVENTS: Final = """
INSERT INTO session_events (tenant_id, attachment_id, revision, state, event_time, actor, facts)
SELECT $3, id, e.revision, e.state, e.event_time, e.actor, e.facts
FROM session_events AS e, unnest($4::uuid[]) AS id
WHERE e.tenant_id = $1 AND e.attachment_id = $2
"""
_BOOK: Final = """
UPDATE tenant_usage AS u
SET pending_sessions = u.pending_sessions + new.sessions,
    pending_bytes = u.pending_bytes + new.bytes
FROM (
    SELECT usage_shard, count(*) AS sessions, sum(reserved_bytes)::bigint AS bytes
    FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = ANY($2::uuid[]) AND booking = 'pending'
    GROUP BY usage_shard
) AS new
WHERE u.tenant_id = $1 AND u.shard = new.usage_shard
"""
_BATCH: Final = 20_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Copies of one session of a tenant."""

    pool: Pool
    tenant_id: str
    template: UUID

    async def copy(self, count: int, tenant_id: str = "") -> list[str]:
        """Creates `count` copies with their history and counters; returns their ids."""
        ids: list[UUID] = []
        statement = await self._statement()
        owner = tenant_id or self.tenant_id
        for first in range(0, count, _BATCH):
            made = await self.pool.fetch(
                statement, self.tenant_id, self.template, min(_BATCH, count - first), owner
            )
            batch = [row["attachment_id"] for row in made]
            await self.pool.execute(_COPY_EVENTS, self.tenant_id, self.template, owner, batch)
            await self.pool.execute(_BOOK, owner, batch)
            ids += batch
        return list(map(str, ids))

    async def age(self, tenant_id: str, by: timedelta) -> None:
        """Moves a tenant's sessions into the past, with all their times."""
        found = await self.pool.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = 'upload_sessions'"
            " AND data_type = 'timestamp with time zone'"
        )
        names = [row["column_name"] for row in found]
        moved = ", ".join(f"{name} = {name} - $2::interval" for name in names)
        await self.pool.execute(
            f"UPDATE upload_sessions SET {moved} WHERE tenant_id = $1",  # noqa: S608
            tenant_id,
            by,
        )

    async def object_key(self) -> str:
        """The key of the template's object."""
        key: str = await self.pool.fetchval(
            "SELECT upload_key FROM upload_sessions WHERE tenant_id = $1 AND attachment_id = $2",
            self.tenant_id,
            self.template,
        )
        return key

    async def _statement(self) -> str:
        # Queried, so that a column that is added later is copied too.
        found = await self.pool.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = 'upload_sessions'"
            " AND is_generated = 'NEVER'"
        )
        names = [row["column_name"] for row in found]
        values = [_OWN.get(name, f"t.{name}") for name in names]
        return (
            f"INSERT INTO upload_sessions ({', '.join(names)}) SELECT {', '.join(values)}"  # noqa: S608
            " FROM upload_sessions AS t, generate_series(1, $3::integer) AS n"
            " WHERE t.tenant_id = $1 AND t.attachment_id = $2 RETURNING attachment_id"
        )
