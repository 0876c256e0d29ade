"""Stored holds: the port `HoldStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import asdict
from msgspec.structs import replace as replaced

from attachery_service.domain.errors import DatabaseUnavailable, InvalidRequest, Violation
from attachery_service.domain.holds import (
    MAX_ATTACHMENTS,
    Hold,
    HoldFilter,
    HoldRef,
    NewHold,
)
from attachery_service.domain.lookups import HoldContent, HoldResult
from attachery_service.domain.sessions import ReadySession, UploadSession
from attachery_service.domain.validation import invalid
from attachery_service.postgres.caches.sessions import SessionCache, VersionedSession
from attachery_service.postgres.database import Database, Runner, Transaction
from attachery_service.postgres.queries import Query, query
from attachery_service.postgres.rows import Row, to_hold

# A retry fails only if the same owner takes and releases holds at the same time.
_MOST_TRIES = 5


class PostgresHolds:
    """`take` and `extend` are one statement each, which touches only the attachments asked for.

    The first renewal of a hold, one after its end, and one that drops attachments need more
    statements, in a transaction. `cache`: spares `take` unchanged rows.
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
                held = await taking.run_locked(transaction)
        if held is None:
            raise DatabaseUnavailable
        return held

    async def get(self, ref: HoldRef, after: UUID, limit: int) -> HoldContent | None:
        row = await self.database.row(query("holds/get"), **asdict(ref), after=after, limit=limit)
        if row is None:
            return None
        return HoldContent(_hold(ref.tenant_id, row), row["attachment_ids"])

    async def page(self, wanted: HoldFilter, after: UUID, limit: int) -> Sequence[Hold]:
        rows = await self.database.rows(
            query("holds/list"), **asdict(wanted), after=after, limit=limit
        )
        return [_hold(wanted.tenant_id, row) for row in rows]

    async def extend(self, ref: HoldRef, ttl: timedelta) -> Hold | None:
        extending, values = query("holds/extend"), {**asdict(ref), "ttl": ttl}
        rows = await self.database.rows(extending, **values, settled_count=None)
        if rows and rows[0]["unsettled"]:
            async with self.database.transaction() as transaction:
                rows = []
                for row in await transaction.rows(query("holds/lock"), **asdict(ref)):
                    count = await _settle(transaction, ref.tenant_id, row["hold_id"])
                    rows = await transaction.rows(extending, **values, settled_count=count)
        return _hold(ref.tenant_id, rows[0]) if rows else None

    async def release(
        self,
        ref: HoldRef,
        actor: str,
        *,
        consumed: bool,
        delete_when_consumed_purposes: Collection[str],
    ) -> Hold | None:
        purposes = list(delete_when_consumed_purposes)
        values = {"consumed": consumed, "purposes": purposes, "actor": actor}
        return await self._release(query("holds/lock"), asdict(ref), values)

    async def release_of_owner(self, tenant_id: str, owner: str, created_by: str) -> Hold | None:
        name = {"tenant_id": tenant_id, "owner": owner, "created_by": created_by}
        values = {"consumed": False, "purposes": [], "actor": created_by}
        return await self._release(query("holds/lock_of_owner"), name, values)

    async def _release(
        self, lock: Query, name: Mapping[str, Any], values: Mapping[str, object]
    ) -> Hold | None:
        tenant_id = name["tenant_id"]
        async with self.database.transaction() as transaction:
            for row in await transaction.rows(lock, **name):
                hold = {"tenant_id": tenant_id, "hold_id": row["hold_id"]}
                await transaction.rows(query("holds/lock_attachments"), **hold, attachment_ids=[])
                (released,) = await transaction.rows(query("holds/release"), **hold, **values)
                return _hold(tenant_id, released)
        return None


@dataclass(frozen=True, slots=True)
class _Taking:
    """One call of `take`, which may run its statement more than once."""

    new: NewHold
    attachment_ids: Sequence[UUID]
    all_or_nothing: bool
    cache: SessionCache

    async def run_locked(self, transaction: Transaction) -> HoldResult | None:
        """Locks and settles the owner's hold, if there is one, before it is renewed."""
        new = self.new
        name = {"tenant_id": new.tenant_id, "owner": new.owner, "created_by": new.created_by}
        for row in await transaction.rows(query("holds/lock_of_owner"), **name):
            hold = {"tenant_id": new.tenant_id, "hold_id": row["hold_id"]}
            count = await _settle(transaction, **hold)
            if new.replaces:
                ids = list(self.attachment_ids)
                await transaction.rows(query("holds/lock_attachments"), **hold, attachment_ids=ids)
            renewal = replaced(new, hold_id=row["hold_id"])
            return await replace(self, new=renewal).run(transaction, count)
        return await self.run(transaction)

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
            "replaces": self.new.replaces,
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


def _hold(tenant_id: str, row: Row) -> Hold:
    return to_hold(tenant_id, row, row["read_time"])


def _as_locked(session: UploadSession, *, usable: bool) -> UploadSession:
    if isinstance(session, ReadySession) and not usable:
        # Deleted since the statement began.
        return session.deleted_at(session.read_time)
    return session


def _too_many() -> InvalidRequest:
    rule = f"must be fewer: with them, the owner's hold would be on more than {MAX_ATTACHMENTS}"
    violation = Violation("attachment_ids", "BATCH_TOO_LARGE", rule)
    return invalid([violation], maxCount=MAX_ATTACHMENTS)
