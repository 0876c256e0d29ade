"""Audits and their repairs: the ports `AuditStore` and `AuditRepairs` on Postgres."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from attachery_service.domain.audit import GRACE, AuditedSession
from attachery_service.domain.quota import Usage
from attachery_service.domain.sessions import SealedObject
from attachery_service.postgres.database import Database
from attachery_service.postgres.queries import query
from attachery_service.postgres.repositories.usage import PostgresUsage
from attachery_service.postgres.rows import Row, to_usage

# Before every id there is.
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class AuditClocks:
    """How long an upload, a call and the sweep's wait before it tries again may take."""

    longest_upload: timedelta
    longest_call: timedelta
    retry_interval: timedelta


@dataclass(frozen=True, slots=True)
class PostgresAudit:
    """Each method runs the statement of its name. All raise DatabaseUnavailable."""

    database: Database
    clocks: AuditClocks

    async def now(self) -> datetime:
        row = await self.database.row(query("audit/clock"))
        if row is None:
            raise LookupError("the statement returns one row, always")
        now: datetime = row["now"]
        return now

    async def tenants(self, after: str, limit: int) -> Sequence[str]:
        rows = await self.database.rows(query("audit/tenants"), after=after, limit=limit)
        return [row["tenant_id"] for row in rows]

    async def known(self, tenants: Collection[str]) -> frozenset[str]:
        rows = await self.database.rows(query("audit/known_tenants"), tenant_ids=list(tenants))
        return frozenset(row["tenant_id"] for row in rows)

    async def sessions(
        self, tenant_id: str, after: UUID | None, limit: int
    ) -> Sequence[AuditedSession]:
        rows = await self.database.rows(
            query("audit/sessions"),
            tenant_id=tenant_id,
            after=after or _FIRST,
            limit=limit,
            **self._intervals(),
        )
        return [_to_audited(row) for row in rows]

    async def reread(
        self, tenant_id: str, attachment_ids: Collection[UUID]
    ) -> Mapping[UUID, AuditedSession]:
        rows = await self.database.rows(
            query("audit/sessions_again"),
            tenant_id=tenant_id,
            attachment_ids=list(attachment_ids),
            **self._intervals(),
        )
        return {row["attachment_id"]: _to_audited(row) for row in rows}

    async def usage(self, tenant_id: str) -> tuple[Usage, Usage]:
        counted, booked = await self.database.rows(query("audit/usage"), tenant_id=tenant_id)
        return to_usage(counted), to_usage(booked)

    async def make_due(self, tenant_id: str, attachment_id: UUID) -> None:
        await self.database.row(
            query("sweep/make_due"), tenant_id=tenant_id, attachment_id=attachment_id
        )

    async def recompute_hold(self, tenant_id: str, attachment_id: UUID) -> None:
        await self._locked(
            "sessions/lock",
            "holds/recompute_held_until",
            tenant_id=tenant_id,
            attachment_id=attachment_id,
        )

    async def recount_usage(self, tenant_id: str) -> None:
        await PostgresUsage(self.database).open(tenant_id)
        await self._locked("usage/lock_recount", "usage/recount", tenant_id=tenant_id)

    async def _locked(self, lock: str, statement: str, **values: object) -> None:
        """Runs the statement under the lock, so that it sees all earlier changes."""
        async with self.database.transaction() as transaction:
            await transaction.rows(query(lock), **values)
            await transaction.rows(query(statement), **values)

    def _intervals(self) -> Mapping[str, timedelta]:
        return {
            "longest_upload": self.clocks.longest_upload,
            "retry_interval": self.clocks.retry_interval,
            "longest_call": self.clocks.longest_call + GRACE,
        }


def _to_audited(row: Row) -> AuditedSession:
    key, has_bytes = row["sealed_key"], row["has_bytes"]
    return AuditedSession(
        attachment_id=row["attachment_id"],
        expected_object=SealedObject(key, row["sealed_etag"]) if has_bytes else None,
        size=row["size"],
        expected_keys=_expected_keys(row),
        in_flight=row["is_unsettled"],
        due_time=row["due_time"],
        next_due_time=row["next_due_time"],
        held_until=row["held_until"],
        holds_end_time=row["holds_end_time"],
        read_time=row["read_time"],
    )


def _expected_keys(row: Row) -> frozenset[str]:
    uploaded = () if row["is_disposed"] else (row["upload_key"],)
    disposed = row["sealed_key"] is None or (row["is_deleted"] and row["is_disposed"])
    sealed = () if disposed else (row["sealed_key"],)
    return frozenset(uploaded + sealed)
