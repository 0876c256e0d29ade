"""What the sweep does to rows: the port `SweepStore` on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME
from attachery_service.domain.sweeping import SweepEvent, SweptSession
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import Row

# Whoever extends or releases an ended hold is told of its end for as long.
_HOLD_LIFETIME = timedelta(hours=24)
# A hold takes up to a thousand rows with it.
_HOLDS_AT_ONCE = 10

_EVENTS = {
    "expires": SweepEvent.EXPIRED,
    "purges": SweepEvent.PURGED,
    "releases": SweepEvent.RELEASED,
    "is_over": SweepEvent.REMOVED,
}


@dataclass(frozen=True, slots=True)
class PostgresSweep:
    """Each method but `prune_expired` runs one statement.

    `longest_upload`: how long after the end of its URL an upload may still arrive. `retry`: after
    which what was left to do is due again. `actor` is named in the history.
    """

    database: Database
    longest_upload: timedelta
    retry: timedelta
    actor: str

    async def sweep(self, limit: int) -> Sequence[SweptSession]:
        rows = await self.database.rows(
            query("sweep_sessions"), limit, self.longest_upload, self.retry, self.actor
        )
        return [_to_swept(row) for row in rows]

    async def confirm_disposal(self, disposed: Sequence[SweptSession]) -> None:
        if not disposed:
            return
        await self.database.row(
            query("confirm_disposal"),
            min(session.sweep_time for session in disposed),
            self.longest_upload,
            self.retry,
            [session.tenant_id for session in disposed],
            [session.attachment_id for session in disposed],
            [session.revision for session in disposed],
        )

    async def prune_expired(self, limit: int) -> bool:
        outcomes = await self._drop("drop_request_outcomes", limit, REQUEST_ID_LIFETIME)
        holds = await self._drop("drop_holds", _HOLDS_AT_ONCE, _HOLD_LIFETIME)
        return outcomes == limit or holds == _HOLDS_AT_ONCE

    async def _drop(self, statement: str, limit: int, age: timedelta) -> int:
        row = await self.database.row(query(statement), limit, age)
        return row["dropped"] if row else 0


def _to_swept(row: Row) -> SweptSession:
    return SweptSession(
        tenant_id=row["tenant_id"],
        attachment_id=row["attachment_id"],
        revision=row["revision"],
        due_time=row["due_time"],
        sweep_time=row["sweep_time"],
        events=tuple(event for column, event in _EVENTS.items() if row[column]),
        dead_keys=tuple(row["dead_keys"]),
        kept_key=row["kept_key"],
        may_have_lost_copies=row["may_have_lost_copies"],
        auto_completes=row["auto_completes"],
    )
