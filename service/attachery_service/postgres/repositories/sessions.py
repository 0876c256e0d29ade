"""Stored sessions: the port `SessionStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from attachery_service.domain.idempotency import REQUEST_ID_LIFETIME, RequestKey
from attachery_service.domain.lookups import SessionLookup
from attachery_service.domain.new_session import NewSession
from attachery_service.domain.pages import PageCursor
from attachery_service.domain.quota import Limits
from attachery_service.domain.sessions import Session, SessionFilter, UploadSession
from attachery_service.domain.transitions import Claim, CompleteOutcome, Completion, Rejection
from attachery_service.domain.updates import PurgeTimes, Update
from attachery_service.postgres.caches.sessions import SessionCache
from attachery_service.postgres.coalescing.batch_statements import (
    BatchStatements,
    CompleteParams,
    FindParams,
    StartParams,
)
from attachery_service.postgres.coalescing.coalescer import Coalescer
from attachery_service.postgres.database import Database
from attachery_service.postgres.parameters import request_values, update_values
from attachery_service.postgres.queries import query
from attachery_service.postgres.repositories.starts import start_one
from attachery_service.postgres.rows import to_session


class PostgresSessions:
    """The port `SessionStore`; `complete`, `fail` and `claim` run sessions/complete.sql.

    `cache`: spares `resolve` unchanged rows. `coalesce`: concurrent calls of `start` and `find`
    share statements, as do those of `complete`, `fail` and `claim`.
    """

    def __init__(
        self, database: Database, cache: SessionCache | None = None, *, coalesce: bool = True
    ) -> None:
        self.database = database
        self._cache = cache or SessionCache(0)
        self._statements = statements = BatchStatements(database)
        self._start: Callable[[StartParams], Awaitable[SessionLookup | None]] = self._start_one
        self._find: Callable[[FindParams], Awaitable[SessionLookup | None]] = self._find_one
        self._complete: Callable[[CompleteParams], Awaitable[UploadSession | None]] = (
            self._complete_one
        )
        if coalesce:
            timeout = database.timeout
            self._start = Coalescer(self._start_one, statements.start, timeout).submit
            self._find = Coalescer(self._find_one, statements.find, timeout).submit
            self._complete = Coalescer[CompleteParams, UploadSession](
                self._complete_one, statements.complete, timeout
            ).submit

    async def start(
        self, new: NewSession, request: RequestKey | None, limits: Limits, *, dry_run: bool
    ) -> SessionLookup | None:
        params = StartParams(new, request, limits)
        if dry_run:
            return await start_one(BatchStatements(self.database, dry_run=True), params)
        return await self._start(params)

    async def find(
        self, tenant_id: str, attachment_id: UUID, request: RequestKey | None = None
    ) -> SessionLookup | None:
        return await self._find(FindParams(tenant_id, attachment_id, request))

    async def complete(
        self, pending: Session, completion: Completion, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._complete(_outcome_params(pending, completion, request, actor))

    async def claim(
        self, ready: Session, claim: Claim, request: RequestKey | None, actor: str
    ) -> UploadSession | None:
        return await self._complete(_outcome_params(ready, claim, request, actor))

    async def fail(
        self,
        pending: Session,
        rejection: Rejection,
        request: RequestKey | None,
        actor: str,
    ) -> UploadSession | None:
        return await self._complete(_outcome_params(pending, rejection, request, actor))

    async def cancel(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        subject: str | None = None,
    ) -> UploadSession | None:
        return await self._change(
            "sessions/cancel", tenant_id, attachment_id, request, actor, subject=subject
        )

    async def update(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        update: Update,
        purge_times: PurgeTimes,
    ) -> UploadSession | None:
        values = update_values(update, purge_times)
        return await self._change(
            "sessions/update", tenant_id, attachment_id, request, actor, **values
        )

    async def delete(
        self,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        *,
        force: bool,
    ) -> UploadSession | None:
        return await self._change(
            "sessions/delete", tenant_id, attachment_id, request, actor, force=force
        )

    async def page(
        self, tenant_id: str, wanted: SessionFilter, after: PageCursor | None, limit: int
    ) -> Sequence[UploadSession]:
        rows = await self.database.rows(
            query("sessions/list"),
            after_time=after.create_time if after else None,
            after_id=after.attachment_id if after else None,
            limit=limit,
            **_filter_values(tenant_id, wanted),
        )
        return [to_session(row) for row in rows]

    async def count(self, tenant_id: str, wanted: SessionFilter, limit: int) -> int:
        values = _filter_values(tenant_id, wanted)
        row = await self.database.row(query("sessions/count"), limit=limit, **values)
        return 0 if row is None else row["sessions"]

    async def resolve(
        self, tenant_id: str, attachment_ids: Sequence[UUID]
    ) -> Mapping[UUID, UploadSession]:
        cached = self._cache.find(tenant_id, attachment_ids)
        rows = await self.database.rows(
            query("sessions/resolve"),
            tenant_id=tenant_id,
            attachment_ids=attachment_ids,
            versions=[each and each.row_version for each in cached],
        )
        places = [row["place"] - 1 for row in rows]
        return {
            attachment_ids[place]: self._cache.resolve(row, cached[place], row["call_time"])
            for place, row in zip(places, rows, strict=True)
        }

    async def _start_one(self, params: StartParams) -> SessionLookup | None:
        return await start_one(self._statements, params)

    async def _find_one(self, params: FindParams) -> SessionLookup | None:
        return (await self._statements.find([params])).get(params)

    async def _complete_one(self, params: CompleteParams) -> UploadSession | None:
        return (await self._statements.complete([params])).get(params)

    async def _change(
        self,
        statement: str,
        tenant_id: str,
        attachment_id: UUID,
        request: RequestKey | None,
        actor: str,
        **values: object,
    ) -> UploadSession | None:
        row = await self.database.row(
            query(statement),
            tenant_id=tenant_id,
            attachment_id=attachment_id,
            actor=actor,
            request_lifetime=REQUEST_ID_LIFETIME,
            **request_values(request),
            **values,
        )
        return None if row is None else to_session(row)


def _filter_values(tenant_id: str, wanted: SessionFilter) -> dict[str, object]:
    return {
        "tenant_id": tenant_id,
        "create_time_from": wanted.create_time_from,
        "create_time_before": wanted.create_time_before,
        "purpose": wanted.purpose,
        "states": list(wanted.states) or None,
    }


def _outcome_params(
    session: Session,
    outcome: CompleteOutcome,
    request: RequestKey | None,
    actor: str,
) -> CompleteParams:
    return CompleteParams(session.tenant_id, session.attachment_id, outcome, request, actor)
