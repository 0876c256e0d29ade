"""The sweep's changes of rows: the port `SweepStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from attachery_service.domain.connection_tokens import MAX_TTL
from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME
from attachery_service.domain.sweeping import SweepEvent, SweptSession
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import Row

# For this time a caller that extends or releases an ended hold still gets its end.
_HOLD_LIFETIME = timedelta(hours=24)
# Deleting a hold deletes up to a thousand rows.
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
    this time unfinished work is due again. `actor` is named in the history.
    """

    database: Database
    longest_upload: timedelta
    retry: timedelta
    actor: str

    async def sweep(self, limit: int) -> Sequence[SweptSession]:
        rows = await self.database.rows(
            query("sweep/sweep"),
            limit=limit,
            longest_upload=self.longest_upload,
            retry_interval=self.retry,
            actor=self.actor,
        )
        return [_to_swept(row) for row in rows]

    async def confirm_disposal(self, disposed: Sequence[SweptSession]) -> None:
        if not disposed:
            return
        await self.database.row(
            query("sweep/confirm_disposal"),
            sweep_time=min(session.sweep_time for session in disposed),
            longest_upload=self.longest_upload,
            retry_interval=self.retry,
            tenant_ids=[session.tenant_id for session in disposed],
            attachment_ids=[session.attachment_id for session in disposed],
            revisions=[session.revision for session in disposed],
        )

    async def prune_expired(self, limit: int) -> bool:
        outcomes = await self._drop("sweep/drop_request_outcomes", limit, REQUEST_ID_LIFETIME)
        holds = await self._drop("sweep/drop_holds", _HOLDS_AT_ONCE, _HOLD_LIFETIME)
        revocations = await self._drop("sweep/drop_revocations", limit, MAX_TTL)
        return limit in (outcomes, revocations) or holds == _HOLDS_AT_ONCE

    async def _drop(self, statement: str, limit: int, age: timedelta) -> int:
        row = await self.database.row(query(statement), limit=limit, age=age)
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
