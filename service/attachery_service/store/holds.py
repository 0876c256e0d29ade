"""Holds at rest: the port `HoldStore` on Postgres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from attachery_service.domain import inputs
from attachery_service.domain.errors import DatabaseUnavailable, InvalidRequest, Violation
from attachery_service.domain.holds import MAX_ATTACHMENTS, Hold, NewHold
from attachery_service.domain.sessions import SessionState, UploadSession
from attachery_service.ports import Held
from attachery_service.store.database import Database, Transaction
from attachery_service.store.queries import query
from attachery_service.store.rows import Row, to_hold, to_session

# One is lost only to an owner who takes and releases at the same time.
_MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class PostgresHolds:
    """`take` and `extend` are one statement each. When the hold is changed while that waits for it,
    what it then holds is not seen, so all is done again by a transaction that has it locked.
    """

    database: Database

    async def take(
        self, new: NewHold, attachment_ids: Sequence[UUID], *, all_or_nothing: bool
    ) -> Held:
        values = (
            new.tenant_id,
            list(attachment_ids),
            all_or_nothing,
            new.hold_id,
            new.owner,
            new.created_by,
            new.ttl,
            MAX_ATTACHMENTS,
        )
        held = await _take(self.database, values)
        for _ in range(_MOST_TRIES):
            if held is not None:
                return held
            async with self.database.transaction() as transaction:
                owner = (new.tenant_id, new.created_by, new.owner)
                await transaction.rows(query("lock_hold_of_owner"), *owner)
                held = await _take(transaction, values)
        if held is None:
            raise DatabaseUnavailable
        return held

    async def extend(self, tenant_id: str, hold_id: UUID, ttl: timedelta) -> Hold | None:
        values = (tenant_id, hold_id, ttl)
        rows = await self.database.rows(query("extend_hold"), *values)
        if rows and rows[0]["hold_id"] is None:
            async with self.database.transaction() as transaction:
                await transaction.rows(query("lock_hold"), tenant_id, hold_id)
                rows = await transaction.rows(query("extend_hold"), *values)
        return to_hold(tenant_id, rows[0]) if rows else None

    async def release(
        self,
        tenant_id: str,
        hold_id: UUID,
        actor: str,
        *,
        consumed: bool,
        perishable: Collection[str],
    ) -> Hold | None:
        async with self.database.transaction() as transaction:
            await transaction.rows(query("lock_hold"), tenant_id, hold_id)
            await transaction.rows(query("lock_held_attachments"), tenant_id, hold_id)
            rows = await transaction.rows(
                query("release_hold"), tenant_id, hold_id, consumed, list(perishable), actor
            )
        return to_hold(tenant_id, rows[0]) if rows else None


async def _take(database: Database | Transaction, values: tuple[object, ...]) -> Held | None:
    """None: another call of the owner came between, and nothing has changed."""
    rows = await database.rows(query("take_hold"), *values)
    first = rows[0] if rows else None
    if first is None:
        return Held({}, None)
    if first["wanted"] > MAX_ATTACHMENTS:
        raise _too_many()
    if first["agreed"] and first["hold_id"] is None:
        return None
    hold = to_hold(first["tenant_id"], first) if first["agreed"] else None
    return Held({row["attachment_id"]: _to_resolved(row) for row in rows}, hold)


def _to_resolved(row: Row) -> UploadSession:
    session = to_session(row)
    if session.state is SessionState.READY and not row["usable"]:
        # Deleted since the statement began.
        return replace(session, state=SessionState.DELETED, object_purge_time=session.read_time)
    return session


def _too_many() -> InvalidRequest:
    rule = f"must be fewer: with them, the owner's hold would be on more than {MAX_ATTACHMENTS}"
    violation = Violation("attachment_ids", "BATCH_TOO_LARGE", rule)
    return inputs.invalid([violation], maxCount=MAX_ATTACHMENTS)
