"""Stored holds: the port `HoldStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from attachery_service.domain.errors import DatabaseUnavailable, InvalidRequest, Violation
from attachery_service.domain.holds import MAX_ATTACHMENTS, Hold, NewHold
from attachery_service.domain.lookups import HoldResult
from attachery_service.domain.sessions import ReadySession, UploadSession
from attachery_service.domain.validation import invalid
from attachery_service.postgres.caches.sessions import SessionCache, VersionedSession
from attachery_service.postgres.database import Database, Runner, Transaction
from attachery_service.postgres.queries import query
from attachery_service.postgres.rows import to_hold

# A retry fails only if the same owner takes and releases holds at the same time.
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
                found = await transaction.rows(
                    query("holds/lock_of_owner"),
                    tenant_id=new.tenant_id,
                    created_by=new.created_by,
                    owner=new.owner,
                )
                counts = [
                    await _settle(transaction, new.tenant_id, row["hold_id"]) for row in found
                ]
                held = await taking.run(transaction, *counts)
        if held is None:
            raise DatabaseUnavailable
        return held

    async def extend(self, tenant_id: str, hold_id: UUID, ttl: timedelta) -> Hold | None:
        hold = {"tenant_id": tenant_id, "hold_id": hold_id}
        rows = await self.database.rows(query("holds/extend"), **hold, ttl=ttl, settled_count=None)
        if rows and rows[0]["unsettled"]:
            async with self.database.transaction() as transaction:
                await transaction.rows(query("holds/lock"), **hold)
                count = await _settle(transaction, tenant_id, hold_id)
                rows = await transaction.rows(
                    query("holds/extend"), **hold, ttl=ttl, settled_count=count
                )
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
        hold = {"tenant_id": tenant_id, "hold_id": hold_id}
        async with self.database.transaction() as transaction:
            await transaction.rows(query("holds/lock"), **hold)
            await transaction.rows(query("holds/lock_attachments"), **hold)
            rows = await transaction.rows(
                query("holds/release"),
                **hold,
                consumed=consumed,
                purposes=list(delete_when_consumed_purposes),
                actor=actor,
            )
        return to_hold(tenant_id, rows[0], rows[0]["read_time"]) if rows else None


@dataclass(frozen=True, slots=True)
class _Taking:
    """One call of `take`, which may run its statement more than once."""

    new: NewHold
    attachment_ids: Sequence[UUID]
    all_or_nothing: bool
    cache: SessionCache

    async def run(self, runner: Runner, count: int | None = None) -> HoldResult | None:
        """Takes the hold, or renews the owner's.

        `count`: of the attachments of the owner's hold, which this transaction has settled. None:
        the hold must be settled, or another call of the owner was faster to take one.
        """
        cached = self.cache.find(self.new.tenant_id, self.attachment_ids)
        rows = await runner.rows(query("holds/take"), **self._values(count, cached))
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
    ) -> Mapping[str, object]:
        return {
            "tenant_id": self.new.tenant_id,
            "attachment_ids": list(self.attachment_ids),
            "all_or_nothing": self.all_or_nothing,
            "hold_id": self.new.hold_id,
            "owner": self.new.owner,
            "created_by": self.new.created_by,
            "ttl": self.new.ttl,
            "max_attachments": MAX_ATTACHMENTS,
            "settled_count": count,
            "versions": [each and each.row_version for each in cached],
        }


async def _settle(transaction: Transaction, tenant_id: str, hold_id: UUID) -> int:
    """Prepares a locked hold for its renewal. Returns the number of its attachments."""
    (row,) = await transaction.rows(query("holds/settle"), tenant_id=tenant_id, hold_id=hold_id)
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
