"""Holds at rest: the port `HoldStore` on Postgres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from attachery_service.domain.errors import DatabaseUnavailable, InvalidRequest, Violation
from attachery_service.domain.holds import MAX_ATTACHMENTS, Hold, NewHold
from attachery_service.domain.lookups import HoldResult
from attachery_service.domain.sessions import ReadySession, UploadSession
from attachery_service.domain.validation import invalid
from attachery_service.postgres.caches.sessions import SessionCache, VersionedSession
from attachery_service.postgres.database import Database, Transaction
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import to_hold

# A try is lost only to an owner who takes and releases at the same time.
_MOST_TRIES = 5


class PostgresHolds:
    """`take` and `extend` are one statement each, which touches only the attachments asked for.

    The first renewal of a hold, and one after its end, needs two statements more, in a transaction.
    `cache`: spares `take` unchanged rows.
    """

    def __init__(self, database: Database, cache: SessionCache | None = None) -> None:
        self.database = database
        self._cache = cache or SessionCache(0)

    async def take(
        self, new: NewHold, attachment_ids: Sequence[UUID], *, all_or_nothing: bool
    ) -> HoldResult:
        taking = _Taking(new, attachment_ids, all_or_nothing, self._cache)
        held = await taking.run(self.database)
        for _ in range(_MOST_TRIES):
            if held is not None:
                return held
            async with self.database.transaction() as transaction:
                owner = (new.tenant_id, new.created_by, new.owner)
                found = await transaction.rows(query("lock_hold_of_owner"), *owner)
                counts = [
                    await _settle(transaction, new.tenant_id, row["hold_id"]) for row in found
                ]
                held = await taking.run(transaction, *counts)
        if held is None:
            raise DatabaseUnavailable
        return held

    async def extend(self, tenant_id: str, hold_id: UUID, ttl: timedelta) -> Hold | None:
        values = (tenant_id, hold_id, ttl)
        rows = await self.database.rows(query("extend_hold"), *values, None)
        if rows and rows[0]["unsettled"]:
            async with self.database.transaction() as transaction:
                await transaction.rows(query("lock_hold"), tenant_id, hold_id)
                count = await _settle(transaction, tenant_id, hold_id)
                rows = await transaction.rows(query("extend_hold"), *values, count)
        return to_hold(tenant_id, rows[0], rows[0]["read_time"]) if rows else None

    async def release(
        self,
        tenant_id: str,
        hold_id: UUID,
        actor: str,
        *,
        consumed: bool,
        delete_when_consumed_purposes: Collection[str],
    ) -> Hold | None:
        async with self.database.transaction() as transaction:
            await transaction.rows(query("lock_hold"), tenant_id, hold_id)
            await transaction.rows(query("lock_held_attachments"), tenant_id, hold_id)
            rows = await transaction.rows(
                query("release_hold"),
                tenant_id,
                hold_id,
                consumed,
                list(delete_when_consumed_purposes),
                actor,
            )
        return to_hold(tenant_id, rows[0], rows[0]["read_time"]) if rows else None


@dataclass(frozen=True, slots=True)
class _Taking:
    """One call of `take`, which may run its statement more than once."""

    new: NewHold
    attachment_ids: Sequence[UUID]
    all_or_nothing: bool
    cache: SessionCache

    async def run(
        self, database: Database | Transaction, count: int | None = None
    ) -> HoldResult | None:
        """Takes the hold, or renews the owner's.

        `count`: of the attachments of the owner's hold, which this transaction has settled. None:
        the hold must be settled, or another call of the owner was faster to take one.
        """
        cached = self.cache.find(self.new.tenant_id, self.attachment_ids)
        rows = await database.rows(query("take_hold"), *self._values(count, cached))
        summary = next(row for row in rows if not row["place"])
        if summary["wanted"] > MAX_ATTACHMENTS:
            raise _too_many()
        if summary["unsettled"] or (summary["agreed"] and summary["hold_id"] is None):
            return None
        time = summary["call_time"]
        hold = to_hold(self.new.tenant_id, summary, time) if summary["agreed"] else None
        sessions = dict[UUID, UploadSession]()
        for row in rows:
            if place := row["place"]:
                session = self.cache.resolve(row, cached[place - 1], time)
                sessions[self.attachment_ids[place - 1]] = _as_locked(
                    session, usable=row["can_be_held"]
                )
        return HoldResult(sessions, hold)

    def _values(
        self, count: int | None, cached: Sequence[VersionedSession | None]
    ) -> tuple[object, ...]:
        new = self.new
        return (
            new.tenant_id,
            list(self.attachment_ids),
            self.all_or_nothing,
            new.hold_id,
            new.owner,
            new.created_by,
            new.ttl,
            MAX_ATTACHMENTS,
            count,
            [each and each.row_version for each in cached],
        )


async def _settle(transaction: Transaction, tenant_id: str, hold_id: UUID) -> int:
    """Prepares a locked hold for its renewal; how many attachments it is on."""
    (row,) = await transaction.rows(query("settle_hold"), tenant_id, hold_id)
    count: int = row["attachment_count"]
    return count


def _as_locked(session: UploadSession, *, usable: bool) -> UploadSession:
    if isinstance(session, ReadySession) and not usable:
        # Deleted since the statement began.
        return session.deleted_at(session.read_time)
    return session


def _too_many() -> InvalidRequest:
    rule = f"must be fewer: with them, the owner's hold would be on more than {MAX_ATTACHMENTS}"
    violation = Violation("attachment_ids", "BATCH_TOO_LARGE", rule)
    return invalid([violation], maxCount=MAX_ATTACHMENTS)
